/// Where a `.dvd` file says which documents have a value of a numeric field.
struct DocumentsWithField: Sendable {
    /// -2: none, -1: all, else the offset in the `.dvd` file of an `IndexedDISI`.
    let offset: Int64
    let length: Int64
    /// nil without a rank table.
    let rankPower: Int?
    let valueCount: Int64
}

/// The `.dvm` file (Lucene70, Lucene80 and Lucene90 `DocValuesFormat`): IndexHeader | (Int32 field number, Byte type,
/// [Lucene 10, field with a skip index: its entry], entry)… | Int32 -1 | footer.
///
/// Entries have no length, so those before the wanted one are walked through, each as the format lays it out.
struct DocValuesMetadata {
    private enum Layout { case lucene70, lucene80, lucene90 }

    private let layout: Layout
    private let version: Int
    private var input: IndexInput

    /// The first version of Lucene90DocValues whose skip index entry has the number of values too.
    private static let skipperValueCountVersion = 3

    init(_ directory: any LuceneDirectory, _ file: LuceneFile, id: [UInt8]) throws(LuceneError) {
        input = try IndexInput.openChecked(directory, file)
        let header = try IndexHeader.read(&input)
        switch header.codecName {
        case "Lucene70DocValuesMetadata": layout = .lucene70
        case "Lucene80DocValuesMetadata": layout = .lucene80
        case "Lucene90DocValuesMetadata": layout = .lucene90
        default: throw input.unsupported("doc values format \(header.codecName) of the soft deletes field")
        }
        input.byteOrder = layout == .lucene90 ? .littleEndian : .bigEndian
        version = header.version
        try header.check(input, versions: 0...3, id: id)
    }

    var byteOrder: ByteOrder { input.byteOrder }

    /// Name in the header of the `.dvd` file that belongs to this one.
    var dataCodecName: String {
        switch layout {
        case .lucene70: "Lucene70DocValuesData"
        case .lucene80: "Lucene80DocValuesData"
        case .lucene90: "Lucene90DocValuesData"
        }
    }

    /// The entry of a numeric field; nil when the file has none for it.
    mutating func findNumeric(
        _ wanted: FieldInfo, _ fields: FieldInfos
    ) throws(LuceneError) -> DocumentsWithField? {
        while true {
            let start = input.position
            let number = Int(try input.readInt32())
            if number == -1 { return nil }
            guard let field = fields.fields.first(where: { $0.number == number }) else {
                throw input.corrupt("doc values of a field \(number) that does not exist", at: start)
            }
            let type = try input.readByte()
            if layout == .lucene90, field.hasDocValuesSkipIndex {
                try input.skip(4 * 8 + 2 * 4 + (version >= Self.skipperValueCountVersion ? 4 : 0))
            }
            if number == wanted.number {
                guard type == 0 else {
                    throw input.corrupt("soft deletes are of type \(type), not numeric", at: start + 4)
                }
                return try readNumeric()
            }
            switch type {
            case 0: _ = try readNumeric()
            case 1: try skipBinary(field)
            case 2: try skipSorted()
            case 3: try skipSortedSet()
            case 4: try skipSortedNumeric()
            default: throw input.corrupt("doc values type \(type)", at: start + 4)
            }
        }
    }

    /// Jump table length and rank power, which Lucene 7 does not have.
    private mutating func readRank() throws(LuceneError) -> Int? {
        guard layout != .lucene70 else { return nil }
        _ = try input.readInt16()
        let power = Int8(bitPattern: try input.readByte())
        guard power == -1 || (7...15).contains(power) else {
            throw input.corrupt("rank power \(power)", at: input.position - 1)
        }
        return power == -1 ? nil : Int(power)
    }

    private mutating func readNumeric() throws(LuceneError) -> DocumentsWithField {
        let offset = try input.readInt64()
        let length = try input.readInt64()
        let rankPower = try readRank()
        let valueCount = try input.readInt64()
        let tableCount = Int(try input.readInt32())
        guard tableCount <= 256 else { throw input.corrupt("table of \(tableCount) values", at: input.position - 4) }
        if tableCount > 0 { try input.skip(tableCount * 8) }
        // bitsPerValue, minValue, gcd, valuesOffset, valuesLength and, from Lucene 8 on, valueJumpTableOffset.
        try input.skip(1 + 4 * 8 + (layout == .lucene70 ? 0 : 8))
        return DocumentsWithField(offset: offset, length: length, rankPower: rankPower, valueCount: valueCount)
    }

    private mutating func skipBinary(_ field: FieldInfo) throws(LuceneError) {
        try input.skip(4 * 8)
        _ = try readRank()
        let documentCount = try input.readInt32()
        let leastLength = try input.readInt32()
        let greatestLength = try input.readInt32()
        let isCompressed: Bool
        switch (layout, version) {
        case (.lucene80, 2...): isCompressed = field.attributes["Lucene80DocValuesFormat.mode"] == "BEST_COMPRESSION"
        case (.lucene80, 1): isCompressed = true
        default: isCompressed = false
        }
        guard (isCompressed && documentCount > 0) || leastLength < greatestLength else { return }
        try input.skip(8)
        var addressCount = Int64(documentCount) + 1
        if isCompressed {
            addressCount = Int64(try input.readVInt())
            _ = try input.readVInt()
            _ = try input.readVInt()
        }
        try skipMonotonic(addressCount, blockShift: try input.readVInt())
        try input.skip(8)
    }

    private mutating func skipSorted() throws(LuceneError) {
        if layout == .lucene90 {
            _ = try readNumeric()
        } else {
            try input.skip(2 * 8)
            _ = try readRank()
            try input.skip(4 + 1 + 2 * 8)
        }
        try skipTerms()
    }

    private mutating func skipSortedSet() throws(LuceneError) {
        switch try input.readByte() {
        case 0: return try skipSorted()
        case 1: break
        case let flag: throw input.corrupt("flag \(flag) of a sorted set", at: input.position - 1)
        }
        if layout == .lucene90 {
            try skipSortedNumeric()
        } else {
            try input.skip(2 * 8)
            _ = try readRank()
            try input.skip(1 + 2 * 8)
            let documentCount = try input.readInt32()
            try input.skip(8)
            try skipMonotonic(Int64(documentCount) + 1, blockShift: try input.readVInt())
            try input.skip(8)
        }
        try skipTerms()
    }

    private mutating func skipSortedNumeric() throws(LuceneError) {
        let numeric = try readNumeric()
        let documentCount = Int64(try input.readInt32())
        guard documentCount != numeric.valueCount else { return }
        try input.skip(8)
        try skipMonotonic(documentCount + 1, blockShift: try input.readVInt())
        try input.skip(8)
    }

    private mutating func skipTerms() throws(LuceneError) {
        let termCount = try input.readVLong()
        var termShift = 6
        var isCompressed = layout == .lucene90
        if !isCompressed {
            // Lucene 8.5 on marks LZ4 blocks of 64 terms by a code in the place of the shift.
            let code = Int(try input.readInt32())
            isCompressed = layout == .lucene80 && code == Self.compressedTermsCode
            if !isCompressed { termShift = code }
        }
        let blockShift = Int(try input.readInt32())
        try skipMonotonic(try blockCount(termCount, shift: termShift), blockShift: blockShift)
        try input.skip(4 + (isCompressed ? 4 : 0) + 4 * 8)
        let indexShift = Int(try input.readInt32())
        try skipMonotonic(1 + (try blockCount(termCount, shift: indexShift)), blockShift: blockShift)
        try input.skip(4 * 8)
    }

    /// `Lucene80DocValuesFormat.TERMS_DICT_BLOCK_LZ4_CODE`, 16 << 16 | 4.
    private static let compressedTermsCode = 16 << 16 | 4

    private func blockCount(_ count: Int64, shift: Int) throws(LuceneError) -> Int64 {
        guard count >= 0, count <= Int64.max >> 8, (0...40).contains(shift) else {
            throw input.corrupt("\(count) values in blocks of 2^\(shift)")
        }
        return (count + (1 << Int64(shift)) - 1) >> Int64(shift)
    }

    /// `DirectMonotonicReader.loadMeta`: 21 bytes a block.
    private mutating func skipMonotonic(_ count: Int64, blockShift: Int) throws(LuceneError) {
        let blocks = try blockCount(count, shift: blockShift)
        guard blocks <= Int64(input.remaining / 21) else { throw input.corrupt("\(blocks) blocks cannot be") }
        try input.skip(Int(blocks) * 21)
    }
}
