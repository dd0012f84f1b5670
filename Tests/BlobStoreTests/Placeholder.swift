import Testing

@Suite struct BlobStorePlaceholder {}
