import TestSupport
import Testing

@testable import LuceneFormat

@Suite("Primitives against the model")
struct PrimitiveTests {
    private static func input(_ output: LuceneOutput) -> IndexInput {
        var input = IndexInput(location: "memory", fileName: "x", bytes: output.bytes)
        input.byteOrder = output.byteOrder
        return input
    }

    private static func scan<Result>(_ bytes: [UInt8], _ body: (inout ByteScanner) -> Result) -> (Result, Int) {
        // One more byte, so that an empty array has an address too.
        (bytes + [0]).withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("no address") }
            var scanner = ByteScanner(base, from: 0, to: bytes.count)
            let result = body(&scanner)
            return (result, scanner.position)
        }
    }

    @Test("StoredFieldsInts of every width and length", arguments: [0, 8, 16, 32])
    func storedFieldsInts(_ bits: Int) {
        var generator = SeededGenerator(seed: UInt64(bits))
        for count in [1, 2, 127, 128, 129, 255, 256, 300, 1024] {
            let limit = bits == 0 ? 1 << 31 : min(1 << bits, 1 << 31)
            let equal = Int.random(in: 0..<limit, using: &generator)
            let values = (0..<count).map { _ in bits == 0 ? equal : Int.random(in: 0..<limit, using: &generator) }
            var output = LuceneOutput()
            output.storedFieldsInts(values, bits: bits)
            #expect(Self.readInts(output.bytes, count) { StoredFieldsInts.read(&$0, into: $1) } == values)
            #expect(Self.readInts(output.bytes.dropLast(), count) { StoredFieldsInts.read(&$0, into: $1) } == nil)
        }
    }

    @Test("packed lengths of every width", arguments: 0...31)
    func packedLengths(_ bits: Int) {
        var generator = SeededGenerator(seed: UInt64(bits))
        for count in [1, 2, 7, 64, 129] {
            let values = (0..<count).map { _ in bits == 0 ? 77 : Int.random(in: 0..<(1 << bits), using: &generator) }
            var output = LuceneOutput()
            output.vInt(bits)
            if bits == 0 { output.vInt(77) } else { output.packed(values.map(UInt64.init), bits: bits, .bigEndian) }
            #expect(Self.readInts(output.bytes, count) { StoredFieldsInts.readPacked(&$0, into: $1) } == values)
            #expect(Self.readInts(output.bytes.dropLast(), count) { StoredFieldsInts.readPacked(&$0, into: $1) } == nil)
        }
    }

    private static func readInts(
        _ bytes: [UInt8], _ count: Int,
        _ read: (inout ByteScanner, UnsafeMutableBufferPointer<UInt32>) -> Bool
    ) -> [Int]? {
        var values = [UInt32](repeating: 0, count: count)
        let (isRead, end) = values.withUnsafeMutableBufferPointer { values in scan(bytes) { read(&$0, values) } }
        return isRead && end == bytes.count ? values.map(Int.init) : nil
    }

    @Test("packed values of every width in both orders", arguments: 1...64)
    func packedValues(_ bits: Int) {
        var generator = SeededGenerator(seed: UInt64(bits))
        let mask = bits == 64 ? UInt64.max : 1 << UInt64(bits) - 1
        let values = (0..<67).map { _ in generator.next() & mask }
        for order in [ByteOrder.bigEndian, .littleEndian] {
            var output = LuceneOutput()
            output.packed(values, bits: bits, order)
            let read = output.bytes.withUnsafeBytes { bytes in
                (0..<67).map {
                    order == .bigEndian
                        ? PackedInts.bigEndianValue(bytes, $0, bits: bits)
                        : PackedInts.littleEndianValue(bytes, $0, bits: bits)
                }
            }
            #expect(read == values)
        }
    }

    @Test("monotonic sequences", arguments: [ByteOrder.bigEndian, .littleEndian])
    func monotonic(_ order: ByteOrder) throws {
        var generator = SeededGenerator(seed: 5)
        for count in [1, 3, 4, 5, 100, 1000] {
            var value: Int64 = 0
            let values = (0..<count).map { _ in
                value += Int64.random(in: 0..<(count > 99 ? 1 << 33 : 9), using: &generator)
                return value
            }
            var data = LuceneOutput(byteOrder: order)
            data.bytes = [1, 2, 3]
            var metadata = LuceneOutput(byteOrder: order)
            metadata.monotonic(values, blockShift: 4, into: &data)
            var input = Self.input(metadata)
            let sequence = try DirectMonotonic(&input, count: count, blockShift: 4)
            #expect(input.remaining == 0)
            #expect(try sequence.values(Self.input(data), from: 3, to: Int64(data.bytes.count)) == values)
            #expect(throws: LuceneError.self) {
                _ = try sequence.values(Self.input(data), from: 3, to: Int64(data.bytes.count) + 1)
            }
        }
    }

    @Test("sets of documents: sparse, dense, full blocks", arguments: [nil, 7, 9, 15])
    func indexedDISI(_ rankPower: Int?) throws {
        var generator = SeededGenerator(seed: 9)
        let maxDoc = 65536 * 5 + 777
        var documents: [Int] = []
        for block in 0..<6 {
            let base = block << 16
            switch block {
            case 0: documents += (0..<4095).map { base + $0 * 16 }
            case 1: documents += (0..<4096).map { base + $0 * 16 }
            case 2: documents += (0..<65536).map { base + $0 }
            case 3: break
            case 4: documents += (0..<65536).filter { _ in Bool.random(using: &generator) }.map { base + $0 }
            default: documents += [base, base + 776]
            }
        }
        var expected = [UInt64](repeating: 0, count: (maxDoc + 63) / 64)
        for document in documents { expected[document >> 6] |= 1 << UInt64(document & 63) }
        for order in [ByteOrder.bigEndian, .littleEndian] {
            var output = LuceneOutput(byteOrder: order)
            output.indexedDISI(documents, rankPower: rankPower)
            var input = Self.input(output)
            #expect(try IndexedDISI.read(&input, rankPower: rankPower, maxDoc: maxDoc) == expected)
            var short = Self.input(output)
            #expect(throws: LuceneError.self) {
                _ = try IndexedDISI.read(&short, rankPower: rankPower, maxDoc: maxDoc - 1)
            }
        }
    }

    @Test("variable-length numbers", arguments: [0, 1, 127, 128, 16383, 16384, 1 << 31 - 1])
    func variableLength(_ value: Int) throws {
        var output = LuceneOutput()
        output.vInt(value)
        output.vLong(Int64(value) << 24)
        var input = Self.input(output)
        #expect(try input.readVInt() == value)
        #expect(try input.readVLong() == Int64(value) << 24)
        let (values, end) = Self.scan(output.bytes) { ($0.readVInt(), $0.readVLong()) }
        #expect(values.0 == value)
        #expect(values.1 == Int64(value) << 24)
        #expect(end == output.bytes.count)
    }

    @Test("negative, overlong and cut-off numbers are refused")
    func badVariableLength() {
        for bytes: [UInt8] in [[0xFF, 0xFF, 0xFF, 0xFF, 0x0F], [0x80, 0x80, 0x80, 0x80, 0x80, 1], [0x80], []] {
            #expect(Self.scan(bytes) { $0.readVInt() }.0 == nil)
            var input = IndexInput(location: "", fileName: "", bytes: bytes)
            #expect(throws: LuceneError.self) { try input.readVInt() }
        }
        let long = [UInt8](repeating: 0xFF, count: 9) + [1]
        #expect(Self.scan(long) { $0.readVLong() }.0 == nil)
    }

    /// `writeTLong` as Lucene writes it: the greatest of day, hour and second that divides the value.
    private static func tLong(_ value: Int64) -> [UInt8] {
        var output = LuceneOutput()
        var rest = value
        var header = 0
        for (unit, bits) in [(86_400_000, 0xC0), (3_600_000, 0x80), (1000, 0x40)] as [(Int64, Int)]
        where value % unit == 0 {
            rest = value / unit
            header = bits
            break
        }
        let zigZag = UInt64(bitPattern: rest << 1 ^ rest >> 63)
        header |= Int(zigZag & 0x1F)
        let upper = zigZag >> 5
        if upper != 0 { header |= 0x20 }
        output.byte(header)
        if upper != 0 { output.vLong(Int64(bitPattern: upper)) }
        return output.bytes
    }

    @Test("longs with time units are skipped whole")
    func timeLongs() {
        let values: [Int64] = [
            0, 1, -1, 15, 16, 1000, -1000, 3_600_000, 86_400_000, 1_700_000_000_000, .max, .min, .min + 1,
        ]
        for value in values {
            let bytes = Self.tLong(value)
            let (isRead, end) = Self.scan(bytes) { $0.skipTLong() }
            #expect(isRead && end == bytes.count, "\(value)")
            #expect(!Self.scan(Array(bytes.dropLast())) { $0.skipTLong() }.0)
        }
    }

    @Test("floats and doubles of every form are skipped whole")
    func floats() {
        let floatForms: [[UInt8]] = [[0x80], [0xFE], [0xFF, 1, 2, 3, 4], [0x7F, 1, 2, 3], [0, 1, 2, 3]]
        for bytes in floatForms {
            let (isRead, end) = Self.scan(bytes) { $0.skipZFloat() }
            #expect(isRead && end == bytes.count)
            #expect(!Self.scan(Array(bytes.dropLast())) { $0.skipZFloat() }.0)
        }
        let doubleForms: [[UInt8]] = [
            [0x80], [0xFD], [0xFE, 1, 2, 3, 4], [0xFF, 1, 2, 3, 4, 5, 6, 7, 8], [0x7F, 1, 2, 3, 4, 5, 6, 7],
        ]
        for bytes in doubleForms {
            let (isRead, end) = Self.scan(bytes) { $0.skipZDouble() }
            #expect(isRead && end == bytes.count)
            #expect(!Self.scan(Array(bytes.dropLast())) { $0.skipZDouble() }.0)
        }
    }

    @Test("live documents are counted in any range")
    func liveCounts() {
        var generator = SeededGenerator(seed: 21)
        for maxDoc in [1, 63, 64, 65, 200, 1000] {
            let deleted = (0..<((maxDoc + 63) / 64)).map { _ in generator.next() & generator.next() }
            var live = LiveDocuments(maxDoc: maxDoc)
            let count = live.delete(deleted)
            let model = (0..<maxDoc).map { deleted[$0 >> 6] >> UInt64($0 & 63) & 1 == 0 }
            #expect(count == model.count { !$0 })
            #expect((0..<maxDoc).map(live.isLive) == model)
            for _ in 0..<50 {
                let start = Int.random(in: 0...maxDoc, using: &generator)
                let end = Int.random(in: start...maxDoc, using: &generator)
                #expect(live.liveCount(in: start..<end) == model[start..<end].count { $0 })
            }
        }
    }
}
