/// How the chunks of a `.fdt` file are compressed.
enum StoredFieldsCompression: Sendable {
    /// One LZ4 block without its compressed length.
    case lz4
    /// VInt compressed length, raw DEFLATE.
    case deflate
    /// A dictionary and ten LZ4 blocks that continue it.
    case lz4WithDictionary
    /// A dictionary and ten raw DEFLATE streams with it as history.
    case deflateWithDictionary
    /// VInt compressed length, zstd frame (Elasticsearch).
    case zstdFrame
    /// A dictionary and ten zstd frames with it as raw content dictionary (OpenSearch).
    case zstdWithDictionary
    /// Ten zstd frames (OpenSearch).
    case zstdBlocks

    /// Most bytes that one compressed byte can become: 255 by LZ4's length bytes, 1 032 by DEFLATE's longest match in
    /// two bits, and for zstd a block of 128 KiB of one byte in four.
    var expansionLimit: Int {
        switch self {
        case .lz4, .lz4WithDictionary: 256
        case .deflate, .deflateWithDictionary: 1040
        case .zstdFrame, .zstdWithDictionary, .zstdBlocks: 44_000
        }
    }
}

/// The form of a `.fdt` file, told by the codec name and version in its header alone: segment codec names vary freely.
struct StoredFieldsFormat: Sendable {
    let codecName: String
    let version: Int
    let compression: StoredFieldsCompression
    let byteOrder: ByteOrder

    private static let versionWithOffHeapIndex = 2
    private static let versionWithMetadata = 3
    private static let versionWithDirtyBit = 4

    /// nil when the name is unknown.
    init?(codecName: String, version: Int) {
        self.codecName = codecName
        self.version = version
        switch codecName {
        case "Lucene50StoredFieldsFastData": (compression, byteOrder) = (.lz4, .bigEndian)
        case "Lucene50StoredFieldsHighData": (compression, byteOrder) = (.deflate, .bigEndian)
        case "Lucene87StoredFieldsFastData": (compression, byteOrder) = (.lz4WithDictionary, .bigEndian)
        case "Lucene87StoredFieldsHighData": (compression, byteOrder) = (.deflateWithDictionary, .bigEndian)
        case "Lucene90StoredFieldsFastData": (compression, byteOrder) = (.lz4WithDictionary, .littleEndian)
        case "Lucene90StoredFieldsHighData": (compression, byteOrder) = (.deflateWithDictionary, .littleEndian)
        case "ZstdStoredFields814": (compression, byteOrder) = (.zstdFrame, .littleEndian)
        case "CustomStoredFieldsZstd": (compression, byteOrder) = (.zstdWithDictionary, .littleEndian)
        case "CustomStoredFieldsZstdNoDict": (compression, byteOrder) = (.zstdBlocks, .littleEndian)
        default: return nil
        }
    }

    var isLucene90: Bool { byteOrder == .littleEndian }

    /// Lucene90 counts its versions from 1 again; up to Lucene 8 they are those of `CompressingStoredFieldsFormat`.
    var knownVersions: ClosedRange<Int> { isLucene90 ? 1...1 : 0...4 }

    /// The chunk index is a `FieldsIndexWriter`'s: `.fdm` and `.fdx` with monotonic sequences.
    var hasMonotonicIndex: Bool { isLucene90 || version >= Self.versionWithOffHeapIndex }
    /// The chunk size is in the `.fdm` file, not behind the header of the `.fdt`.
    var hasChunkSizeInMetadata: Bool { isLucene90 || version >= Self.versionWithMetadata }
    var hasDirtyBit: Bool { isLucene90 || version >= Self.versionWithDirtyBit }

    var metadataCodecName: String { isLucene90 ? "Lucene90FieldsIndexMeta" : "Lucene85FieldsIndexMeta" }
    var indexCodecName: String {
        if isLucene90 { return "Lucene90FieldsIndexIdx" }
        if hasMonotonicIndex { return "Lucene85FieldsIndexIdx" }
        return codecName.dropLast(4) + "Index"
    }
}
