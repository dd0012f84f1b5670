import CapturedTraffic
import Testing

@Suite struct Murmur2Tests {
    /// Published with the algorithm: the cases of Kafka's own UtilsTest, which call `Utils.murmur2` of the Java
    /// clients.
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971), ("abc", 479_470_107),
    ])
    func hashesAsTheJavaClientDoes(key: String, expected: Int) {
        let hash = Array(key.utf8).withUnsafeBytes { Murmur2.hash($0) }
        #expect(Int32(bitPattern: hash) == Int32(expected))
    }

    @Test func partitionsClearTheSign() {
        Array("21".utf8).withUnsafeBytes { key in
            #expect(Murmur2.partition(key: key, count: 1) == 0)
            #expect(Murmur2.partition(key: key, count: 1000) == (-973_932_308 & 0x7FFF_FFFF) % 1000)
        }
    }

    /// `rd_kafka_msg_partitioner_murmur2` of librdkafka 2.14, called for these keys and numbers of partitions.
    @Test(
        arguments: [
            ([], [0, 2, 9, 681, 275_646_681]), ([0x61], [0, 5, 4, 524, 584_102_524]),
            (Array("ab".utf8), [0, 0, 2, 434, 316_155_434]), (Array("abcd".utf8), [0, 5, 8, 100, 823_834_100]),
            (
                Array("02fc00fffe000001-00003180-00000001-f56474d05065ffc0-e159dab9".utf8),
                [0, 1, 3, 879, 577_188_879]
            ),
            ([0xFF, 0x80, 0x00, 0xFE], [0, 5, 11, 671, 218_625_671]),
            ([UInt8](repeating: 0xFF, count: 7), [0, 4, 7, 99, 2_076_190_099]),
            (Array("kafka-connection-9".utf8), [0, 2, 6, 850, 323_681_850]),
            (Array("ü\u{2603}".utf8), [0, 3, 8, 416, 1_339_968_416]),
        ] as [([UInt8], [Int32])])
    func partitionsAsLibrdkafkaDoes(key: [UInt8], expected: [Int32]) {
        let partitions = key.withUnsafeBytes { key in
            [1, 7, 12, 1000, .max].map { Murmur2.partition(key: key, count: $0) }
        }
        #expect(partitions == expected)
    }
}
