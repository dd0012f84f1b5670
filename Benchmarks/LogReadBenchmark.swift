import Glibc
import TestSupport
import TrafficLog

/// `millrace-bench log-read`: what it costs to read a traffic log as a group, from a file log and, with `--kafka`, from
/// a topic that is made for it. Records are of two sizes; each is read in full, and one byte of it looked at.
func runLogRead(_ words: [String]) throws {
    let arguments = try BenchmarkArguments(words)
    let megabytes = try arguments.int("megabytes", default: 200)
    let folder = try TemporaryFolder("log-read")
    var addresses = [(name: "file", address: "file://\(folder.path)/log")]
    if let brokers = arguments.text("kafka") {
        addresses.append((name: "kafka", address: "kafka://\(brokers)/bench-\(getpid())"))
    }
    for (name, base) in addresses {
        for (label, size, share) in [("1.5 KB", 1500, 1), ("1 MiB", 1 << 20, 2)] {
            let count = max(1, megabytes * share * 1_000_000 / size)
            let address = "\(base)-\(size)"
            try fill(address, size: size, count: count)
            try measure(name, label, address, size: size, count: count)
        }
    }
}

private func options() -> TrafficLogAddress.Options {
    var options = TrafficLogAddress.Options()
    options.topicCreation = KafkaLogSettings.TopicCreation(
        partitionCount: 4, properties: [.init(name: "max.message.bytes", value: "2000000")])
    return options
}

/// Text that does not compress to nothing, as captured requests do not.
private func fill(_ address: String, size: Int, count: Int) throws {
    let appender = PatientAppender(try TrafficLogAddress.parse(address).openWriter(options()))
    var random = SeededGenerator(seed: 7)
    let pool = random.bytes(size + 4096).map { 0x20 + $0 % 64 }
    for number in 0..<count {
        let start = number % 4096
        try appender.append(Array(pool[start..<start + size]), key: "connection-\(number % 64)")
    }
    try appender.finish()
}

private func measure(_ name: String, _ label: String, _ address: String, size: Int, count: Int) throws {
    var settings = GroupReaderSettings()
    settings.end = .end
    let reader = try TrafficLogAddress.parse(address + "?group=bench").openGroupReader(options(), settings)
    var ended = 0
    var read = 0
    var sum: UInt64 = 0
    var largestHeld = 0
    var partitionCount = Int.max
    let time = try WorkTime.measure {
        while ended < partitionCount {
            switch try reader.next(within: .seconds(1), recordLimit: 500) {
            case .assigned(let starts): partitionCount = starts.count
            case .records(let records):
                for record in records { sum &+= UInt64(record.value[record.value.count / 2]) }
                read += records.count
                largestHeld = max(largestHeld, reader.statistics.heldBytes)
            case .endReached: ended += 1
            default: break
            }
        }
    }
    guard read == count else { throw BenchmarkFailure(description: "\(read) of \(count) records were read") }
    reader.close()
    let perRecord = time.cpuSeconds / Double(count)
    print(
        "\(name) \(label): \(count) records, \(Int(1 / perRecord)) records/CPU-s,",
        "\(twoDecimals(perRecord * 1e6)) µs each, \(Int(Double(size) / perRecord / 1e6)) MB/CPU-s,",
        "\(Int(Double(count * size) / time.wallSeconds / 1e6)) MB/s, held at most \(largestHeld >> 10) KiB, sum \(sum)")
}

/// Appends records and waits where the log has no room.
private final class PatientAppender: TrafficLogSink {
    private let writer: any TrafficLogWriter

    init(_ writer: any TrafficLogWriter) { self.writer = writer }

    func append(_ value: [UInt8], key: String) throws {
        let segment = RecordSegment(copying: value)
        while true {
            do throws(TrafficLogError) {
                return try writer.append(segment, key: ConnectionKey(key), sink: self)
            } catch {
                guard error.code == .full else { throw error }
                poll(nil, 0, 1)
            }
        }
    }

    func finish() throws {
        guard writer.flush(within: .seconds(300)) else {
            throw BenchmarkFailure(description: "\(writer.location) does not acknowledge the records")
        }
        writer.close()
    }

    func recordsResolved(_ deliveries: [LogDelivery]) {}
    func logHasRoom() {}
}

private struct BenchmarkFailure: Error, CustomStringConvertible { let description: String }

/// `millrace-bench log-member`: a reader of a group that says on standard output what happens to it, a line an event,
/// and commits everything that it read. For tests that halt or kill it.
func runLogMember(_ words: [String]) throws {
    let arguments = try BenchmarkArguments(words)
    var settings = GroupReaderSettings()
    settings.instanceID = arguments.text("instance")
    let reader = try TrafficLogAddress.parse(try arguments.required("log")).openGroupReader(
        TrafficLogAddress.Options(), settings)
    while true {
        var line = ""
        switch try reader.next(within: .milliseconds(100), recordLimit: 100) {
        case nil: continue
        case .assigned(let starts):
            line = "assigned " + starts.map { "\($0.partition):\($0.offset)" }.joined(separator: " ")
        case .records(let records):
            line = "records " + records.map { "\($0.position)" }.joined(separator: " ")
            var positions: [Int32: GroupPosition] = [:]
            for record in records {
                positions[record.position.partition] = GroupPosition(
                    offset: record.position.offset + 1, note: "member")
            }
            say(line)
            let durable = try reader.commit(positions)
            line = "committed " + durable.sorted().map(String.init).joined(separator: " ")
        case .revoked(let partitions):
            line = "revoked " + partitions.map(String.init).joined(separator: " ")
            try reader.release(partitions)
        case .lost(let partitions): line = "lost " + partitions.map(String.init).joined(separator: " ")
        case .missing(let partition, let offsets): line = "missing \(partition) \(offsets)"
        case .unreadable(let record): line = "unreadable \(record.position)"
        case .endReached(let partition, _): line = "end \(partition)"
        }
        say(line)
    }
}

private func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
}
