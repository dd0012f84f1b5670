import Testing

@Suite struct BulkFormatPlaceholder {}
