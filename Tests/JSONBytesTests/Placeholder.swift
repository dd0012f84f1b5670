import Testing

@Suite struct JSONBytesPlaceholder {}
