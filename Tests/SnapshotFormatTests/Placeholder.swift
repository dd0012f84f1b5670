import Testing

@Suite struct SnapshotFormatPlaceholder {}
