import Testing

@Suite struct LuceneFormatPlaceholder {}
