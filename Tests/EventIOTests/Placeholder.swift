import Testing

@Suite struct EventIOPlaceholder {}
