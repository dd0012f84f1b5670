/// A `TrafficStream` in Protocol Buffers' plainest encoding.
package struct ProtobufRecord {
    private var observations: [UInt8] = []
    private let priorRequests: Int32
    private let isReadUnterminated: Bool

    package init(priorRequests: Int32 = 0, isReadUnterminated: Bool = false) {
        self.priorRequests = priorRequests
        self.isReadUnterminated = isReadUnterminated
    }

    package var isEmpty: Bool { observations.isEmpty }

    package mutating func read(_ data: [UInt8], _ time: Int64) { add(4, Self.field(1, data), time) }
    package mutating func write(_ data: [UInt8], _ time: Int64) { add(8, Self.field(1, data), time) }
    package mutating func close(_ time: Int64) { add(11, [], time) }
    package mutating func exception(_ text: String, _ time: Int64) { add(12, Self.field(1, Array(text.utf8)), time) }
    package mutating func end(_ time: Int64) { add(15, [], time) }
    package mutating func dropped(_ time: Int64) { add(16, [], time) }

    package func value(connection: String, number: Int32, isLast: Bool) -> [UInt8] {
        var bytes = Self.field(1, Array(connection.utf8)) + Self.field(5, Array("node".utf8))
        bytes += Self.number(6, UInt64(priorRequests)) + Self.number(7, isReadUnterminated ? 1 : 0)
        bytes += observations
        return bytes + Self.number(isLast ? 4 : 3, UInt64(number))
    }

    private mutating func add(_ member: Int, _ content: [UInt8], _ time: Int64) {
        let stamp = Self.number(1, UInt64(time / 1_000_000_000)) + Self.number(2, UInt64(time % 1_000_000_000))
        observations += Self.field(2, Self.field(1, stamp) + Self.field(member, content))
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        repeat {
            let byte = UInt8(rest & 0x7F)
            rest >>= 7
            bytes.append(rest == 0 ? byte : byte | 0x80)
        } while rest != 0
        return bytes
    }

    private static func field(_ number: Int, _ content: [UInt8]) -> [UInt8] {
        varint(UInt64(number << 3 | 2)) + varint(UInt64(content.count)) + content
    }

    private static func number(_ field: Int, _ value: UInt64) -> [UInt8] {
        varint(UInt64(field << 3)) + varint(value)
    }
}
