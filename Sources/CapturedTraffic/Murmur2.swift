/// The hash by which Kafka's producers spread keys over partitions (org.apache.kafka.common.utils.Utils.murmur2,
/// librdkafka's `murmur2`). All records of a connection must lie in one partition, whoever wrote them.
package enum Murmur2 {
    private static let seed: UInt32 = 0x9747_B28C
    private static let multiplier: UInt32 = 0x5BD1_E995
    private static let shift: UInt32 = 24

    package static func hash(_ key: UnsafeRawBufferPointer) -> UInt32 {
        var hash = seed ^ UInt32(truncatingIfNeeded: key.count)
        var index = 0
        while key.count - index >= 4 {
            var word = UInt32(littleEndian: key.loadUnaligned(fromByteOffset: index, as: UInt32.self))
            word = word &* multiplier
            word ^= word >> shift
            hash = hash &* multiplier ^ word &* multiplier
            index += 4
        }
        var tail: UInt32 = 0
        for place in index..<key.count { tail |= UInt32(key[place]) << UInt32(8 * (place - index)) }
        if index < key.count { hash = (hash ^ tail) &* multiplier }
        hash ^= hash >> 13
        hash = hash &* multiplier
        return hash ^ hash >> 15
    }

    /// The partition of `key` in a topic of `count` partitions, at least one. Kafka clears the sign bit.
    package static func partition(key: UnsafeRawBufferPointer, count: Int32) -> Int32 {
        precondition(count > 0, "\(count) partitions")
        return Int32(hash(key) & 0x7FFF_FFFF) % count
    }
}
