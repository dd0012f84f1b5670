import Testing

@Suite struct BackfillPlaceholder {}
