/// Reads Protocol Buffers' wire format from `bytes[position..<end]`. Every read checks its bounds.
struct WireCursor {
    /// nil only for an empty record, of which nothing is read.
    let base: UnsafeRawPointer?
    var position: Int
    let end: Int

    /// Decoders of the reference implementations stop at the same depth.
    private static let groupDepthLimit = 100

    init(_ base: UnsafeRawPointer?, _ range: Range<Int>) {
        self.base = base
        position = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { position >= end }

    /// Padded forms are taken; bits above 64 are dropped, as other decoders do.
    mutating func varint() throws(TrafficStreamError) -> UInt64 {
        let start = position
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let base, position < end {
            let byte = base.load(fromByteOffset: position, as: UInt8.self)
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
            guard shift < 70 else {
                throw TrafficStreamError(.varintTooLong, at: start, "a varint of more than 10 bytes")
            }
        }
        throw TrafficStreamError(.truncated, at: start, "a varint is cut off")
    }

    /// int32 on the wire is sign-extended to 64 bits; the low half is the value.
    mutating func int32() throws(TrafficStreamError) -> Int32 { Int32(truncatingIfNeeded: try varint()) }

    mutating func tag() throws(TrafficStreamError) -> (field: UInt32, type: WireType) {
        let start = position
        let value = try varint()
        guard value <= UInt64(UInt32.max), value >> 3 != 0, let type = WireType(rawValue: UInt32(value & 7)) else {
            throw TrafficStreamError(.invalidTag, at: start, "tag \(value) is none")
        }
        return (UInt32(value >> 3), type)
    }

    /// The content of a length-delimited field, behind which the cursor stands then.
    mutating func content() throws(TrafficStreamError) -> Range<Int> {
        let start = position
        let count = try varint()
        guard count <= UInt64(end - position) else {
            throw TrafficStreamError(
                .truncated, at: start, "a field of \(count) bytes where \(end - position) are left")
        }
        let content = position..<position + Int(count)
        position = content.upperBound
        return content
    }

    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base.map { $0 + range.lowerBound }, count: range.count)
    }

    /// Passes over the value of a field that has no meaning here.
    mutating func skip(_ field: UInt32, _ type: WireType) throws(TrafficStreamError) {
        switch type {
        case .varint: _ = try varint()
        case .fixed64: try advance(8)
        case .fixed32: try advance(4)
        case .lengthDelimited: _ = try content()
        case .startGroup: try skipGroup(field)
        case .endGroup: throw TrafficStreamError(.invalidGroup, at: position, "group \(field) ends and never began")
        }
    }

    private mutating func advance(_ count: Int) throws(TrafficStreamError) {
        guard count <= end - position else {
            throw TrafficStreamError(.truncated, at: position, "a fixed field is cut off")
        }
        position += count
    }

    private mutating func skipGroup(_ field: UInt32) throws(TrafficStreamError) {
        var open = [field]
        while let innermost = open.last {
            let start = position
            let (field, type) = try tag()
            switch type {
            case .startGroup:
                guard open.count < Self.groupDepthLimit else {
                    throw TrafficStreamError(.invalidGroup, at: start, "groups lie deeper than \(Self.groupDepthLimit)")
                }
                open.append(field)
            case .endGroup:
                guard field == innermost else {
                    throw TrafficStreamError(.invalidGroup, at: start, "group \(innermost) ends as \(field)")
                }
                open.removeLast()
            default: try skip(field, type)
            }
        }
    }
}
