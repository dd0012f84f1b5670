@testable import LuceneFormat

/// Writes Lucene's primitives the obvious way: the model that the readers are tested against.
struct LuceneOutput {
    var bytes: [UInt8] = []
    var byteOrder = ByteOrder.bigEndian

    mutating func byte(_ value: Int) { bytes.append(UInt8(truncatingIfNeeded: value)) }

    mutating func vLong(_ value: Int64) {
        var rest = UInt64(bitPattern: value)
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F | 0x80))
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func vInt(_ value: Int) { vLong(Int64(UInt32(truncatingIfNeeded: value))) }

    mutating func fixed(_ value: UInt64, count: Int, _ order: ByteOrder? = nil) {
        let littleEndian = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        bytes += (order ?? byteOrder) == .littleEndian ? littleEndian : littleEndian.reversed()
    }

    mutating func int16(_ value: Int) { fixed(UInt64(UInt16(truncatingIfNeeded: value)), count: 2) }
    mutating func int32(_ value: Int) { fixed(UInt64(UInt32(truncatingIfNeeded: value)), count: 4) }
    mutating func int64(_ value: Int64) { fixed(UInt64(bitPattern: value), count: 8) }

    mutating func string(_ text: String) {
        vInt(text.utf8.count)
        bytes += text.utf8
    }

    mutating func strings(_ list: [String]) {
        vInt(list.count)
        for text in list { string(text) }
    }

    mutating func header(_ codecName: String, version: Int, id: [UInt8] = SyntheticSegment.id, suffix: String = "") {
        fixed(0x3FD7_6C17, count: 4, .bigEndian)
        string(codecName)
        fixed(UInt64(version), count: 4, .bigEndian)
        bytes += id
        byte(suffix.utf8.count)
        bytes += suffix.utf8
    }

    var withFooter: [UInt8] { CodecFooter.appended(to: bytes) }

    /// Values of `bits` bits, one after the other in one stream of bits.
    mutating func packed(_ values: [UInt64], bits: Int, _ order: ByteOrder) {
        var stream: [Bool] = []
        for value in values {
            let fromLeast = (0..<bits).map { value >> UInt64($0) & 1 != 0 }
            stream += order == .littleEndian ? fromLeast : fromLeast.reversed()
        }
        while stream.count % 8 != 0 { stream.append(false) }
        for start in stride(from: 0, to: stream.count, by: 8) {
            var value: UInt8 = 0
            for bit in 0..<8 where stream[start + bit] {
                value |= 1 << UInt8(order == .littleEndian ? bit : 7 - bit)
            }
            bytes.append(value)
        }
    }

    /// `StoredFieldsInts`: value i of a group of 128 is in long i % longs, lane i / longs from the most significant.
    mutating func storedFieldsInts(_ values: [Int], bits: Int) {
        byte(bits)
        if bits == 0 { return vInt(values[0]) }
        let longs = 2 * bits
        var index = 0
        while index + 128 <= values.count {
            for long in 0..<longs {
                var packed: UInt64 = 0
                for value in stride(from: long, to: 128, by: longs) {
                    packed = packed << UInt64(bits) | UInt64(values[index + value])
                }
                fixed(packed, count: 8, .littleEndian)
            }
            index += 128
        }
        for value in values[index...] { fixed(UInt64(value), count: bits / 8, .littleEndian) }
    }

    /// `IndexedDISI` of sorted documents.
    mutating func indexedDISI(_ documents: [Int], rankPower: Int?) {
        for (block, members) in Dictionary(grouping: documents, by: { $0 >> 16 }).sorted(by: { $0.key < $1.key }) {
            int16(block)
            int16(members.count - 1)
            if members.count == 65536 { continue }
            if members.count <= 4095 {
                for document in members.sorted() { int16(document & 0xFFFF) }
                continue
            }
            var words = [UInt64](repeating: 0, count: 1024)
            for document in members { words[(document & 0xFFFF) >> 6] |= 1 << UInt64(document & 63) }
            if let rankPower { bytes += [UInt8](repeating: 0xEE, count: (65536 >> rankPower) * 2) }
            for word in words { int64(Int64(bitPattern: word)) }
        }
        int16(32767)
        int16(0)
        int16(0xFFFF)
    }

    /// Metadata of a `DirectMonotonicWriter` into this output; the packed values go to `data`.
    mutating func monotonic(_ values: [Int64], blockShift: Int, into data: inout LuceneOutput) {
        let start = data.bytes.count
        for first in stride(from: 0, to: values.count, by: 1 << blockShift) {
            let block = Array(values[first..<min(values.count, first + 1 << blockShift)])
            let slope = block.count < 2 ? 0 : Float(block[block.count - 1] - block[0]) / Float(block.count - 1)
            let distances = block.enumerated().map { $1 - Int64(slope * Float($0)) }
            let least = distances.min() ?? 0
            let widest = distances.map { UInt64($0 - least) }.max() ?? 0
            let needed = 64 - widest.leadingZeroBitCount
            let bits = [0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64].first { $0 >= needed } ?? 64
            int64(least)
            int32(Int(slope.bitPattern))
            int64(Int64(data.bytes.count - start))
            byte(bits)
            if bits > 0 { data.packed(distances.map { UInt64($0 - least) }, bits: bits, data.byteOrder) }
        }
    }

    /// An LZ4 block of one sequence, all literals.
    mutating func lz4Literals(_ content: ArraySlice<UInt8>) {
        if content.count < 15 {
            byte(content.count << 4)
        } else {
            byte(0xF0)
            var rest = content.count - 15
            while rest >= 255 {
                byte(255)
                rest -= 255
            }
            byte(rest)
        }
        bytes += content
    }
}
