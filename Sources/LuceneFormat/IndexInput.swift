import CISAL

/// Byte order of the numbers in a file: big-endian up to Lucene 8, little-endian from Lucene 9 on. Headers and footers
/// are big-endian always.
enum ByteOrder: Sendable {
    case bigEndian
    case littleEndian
}

/// A small file in memory, read from front to back; every read is checked (Lucene's `DataInput`).
struct IndexInput {
    let location: String
    let fileName: String
    let bytes: [UInt8]
    /// End of the content: where the footer starts once it is checked.
    private(set) var limit: Int
    private(set) var position = 0
    var byteOrder = ByteOrder.bigEndian

    init(location: String, fileName: String, bytes: [UInt8]) {
        self.location = location
        self.fileName = fileName
        self.bytes = bytes
        limit = bytes.count
    }

    /// Reads a whole file and checks its footer (`CodecUtil.checkFooter`): magic, algorithm 0, CRC-32 of all before.
    static func openChecked(
        _ directory: any LuceneDirectory, _ file: LuceneFile, limitBytes: Int64 = 1 << 30
    ) throws(LuceneError) -> IndexInput {
        let bytes = try file.readAll(directory, limitBytes: limitBytes)
        var input = IndexInput(location: directory.location, fileName: file.name, bytes: bytes)
        try input.checkFooter()
        return input
    }

    var remaining: Int { limit - position }

    func corrupt(_ message: String, at offset: Int? = nil) -> LuceneError {
        LuceneError(
            .corrupt, location: location, file: fileName, offset: Int64(offset ?? position), message: message)
    }

    func unsupported(_ message: String) -> LuceneError {
        LuceneError(.unsupported, location: location, file: fileName, message: message)
    }

    private mutating func checkFooter() throws(LuceneError) {
        guard bytes.count >= CodecFooter.byteCount else {
            throw corrupt("\(bytes.count) bytes are too few for a checksum footer", at: 0)
        }
        limit = bytes.count - CodecFooter.byteCount
        let footer = bytes[limit...].withUnsafeBytes { CodecFooter.parse($0) }
        guard let stored = footer else { throw corrupt("no valid checksum footer; the file may be cut off", at: limit) }
        let actual = CodecFooter.checksum(of: bytes[..<(bytes.count - 8)])
        guard actual == stored else {
            throw corrupt("checksum is \(stored) but the bytes have \(actual)", at: bytes.count - 8)
        }
    }

    private mutating func take(_ count: Int) throws(LuceneError) -> Int {
        guard count >= 0, count <= limit - position else {
            throw corrupt("\(count) bytes wanted, \(limit - position) left")
        }
        defer { position += count }
        return position
    }

    mutating func skip(_ count: Int) throws(LuceneError) { _ = try take(count) }

    mutating func seek(to newPosition: Int) throws(LuceneError) {
        guard newPosition >= 0, newPosition <= limit else { throw corrupt("position \(newPosition) outside the file") }
        position = newPosition
    }

    mutating func readByte() throws(LuceneError) -> UInt8 { bytes[try take(1)] }

    mutating func readBytes(_ count: Int) throws(LuceneError) -> ArraySlice<UInt8> {
        let start = try take(count)
        return bytes[start..<(start + count)]
    }

    private func assemble(_ start: Int, _ count: Int, _ order: ByteOrder) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<count {
            let byte = order == .bigEndian ? bytes[start + index] : bytes[start + count - 1 - index]
            value = value << 8 | UInt64(byte)
        }
        return value
    }

    mutating func readInt16() throws(LuceneError) -> Int16 {
        Int16(truncatingIfNeeded: assemble(try take(2), 2, byteOrder))
    }

    mutating func readInt32() throws(LuceneError) -> Int32 {
        Int32(truncatingIfNeeded: assemble(try take(4), 4, byteOrder))
    }

    mutating func readInt64() throws(LuceneError) -> Int64 {
        Int64(bitPattern: assemble(try take(8), 8, byteOrder))
    }

    mutating func readBigEndianInt32() throws(LuceneError) -> Int32 {
        Int32(truncatingIfNeeded: assemble(try take(4), 4, .bigEndian))
    }

    mutating func readBigEndianInt64() throws(LuceneError) -> Int64 {
        Int64(bitPattern: assemble(try take(8), 8, .bigEndian))
    }

    /// `DataInput.readVInt`: groups of seven bits, least significant first, at most five bytes; never negative here.
    mutating func readVInt() throws(LuceneError) -> Int {
        let start = position
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try readByte()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { break }
            shift += 7
            if shift > 28 { throw corrupt("a VInt of more than five bytes", at: start) }
        }
        guard value <= UInt64(Int32.max) else { throw corrupt("negative or too large VInt \(value)", at: start) }
        return Int(value)
    }

    /// `DataInput.readVLong`: at most nine bytes, never negative.
    mutating func readVLong() throws(LuceneError) -> Int64 {
        let start = position
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try readByte()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return Int64(value) }
            shift += 7
            if shift > 56 { throw corrupt("a VLong of more than nine bytes", at: start) }
        }
    }

    mutating func readString() throws(LuceneError) -> String {
        let count = try readVInt()
        return String(decoding: try readBytes(count), as: UTF8.self)
    }

    /// A count that precedes items of at least `itemBytes` each, so that a wrong one cannot cause a huge allocation.
    mutating func readCount(itemBytes: Int) throws(LuceneError) -> Int {
        let start = position
        let count = try readVInt()
        guard count <= remaining / itemBytes else {
            throw corrupt("\(count) items cannot fit into \(remaining) bytes", at: start)
        }
        return count
    }

    mutating func readStringMap() throws(LuceneError) -> [String: String] {
        let count = try readCount(itemBytes: 2)
        var map: [String: String] = [:]
        for _ in 0..<count {
            let key = try readString()
            map[key] = try readString()
        }
        return map
    }

    mutating func readStringSet() throws(LuceneError) -> [String] {
        let count = try readCount(itemBytes: 1)
        var set: [String] = []
        for _ in 0..<count { set.append(try readString()) }
        return set
    }
}
