/// How far a group has come in one partition, as it is kept in the log: the committed offset and, in the text beside
/// it, what the offset alone cannot say.
///
///     v1 ends=1234 origin=1764000000000000000:1764003600000000000 open=f09a3bc01f27ab4e:17,…
///
/// `ends`: every request whose end lies in a record below it is resolved. The offset can be lower, because a request
/// that has begun and not ended holds it back; with `ends` a restart does not send the finished ones again.
/// `open`: connections of which requests below `ends` are left all the same.
package struct ReplayPosition: Sendable, Equatable {
    /// A connection whose requests from `number` on are not resolved.
    package struct OpenConnection: Sendable, Equatable {
        /// FNV-1a (64 bits) of its name.
        package let hash: UInt64
        package var number: Int
        /// Offset that request `number` ends in; not part of the note.
        package var endOffset = Int64.max
        /// By this assignment, not by an earlier one.
        package var isLeftHere = false

        package init(hash: UInt64, number: Int, endOffset: Int64 = .max, isLeftHere: Bool = false) {
            self.hash = hash
            self.number = number
            self.endOffset = endOffset
            self.isLeftHere = isLeftHere
        }

        package static func == (left: Self, right: Self) -> Bool {
            left.hash == right.hash && left.number == right.number
        }

        package static func hash(of name: String) -> UInt64 { FNV1a.hash(name.utf8) }
    }

    /// As many fit into the text beside an offset.
    package static let openLimit = 16

    /// The record to begin with.
    package var offset: Int64
    package var ends: Int64
    package var origin: TimeOrigin?
    package private(set) var open: [OpenConnection] = []

    package init(offset: Int64, ends: Int64, origin: TimeOrigin? = nil) {
        self.offset = offset
        self.ends = ends
        self.origin = origin
    }

    /// Leaves these connections open. Of those that do not fit `ends` is brought back to what they need.
    package mutating func leaveOpen(_ connections: [OpenConnection]) {
        let sorted = connections.sorted { $0.endOffset > $1.endOffset }
        open = Array(sorted.prefix(Self.openLimit))
        for connection in sorted.dropFirst(Self.openLimit) { ends = min(ends, max(offset, connection.endOffset)) }
    }

    /// ASCII, at most 500 bytes.
    package var note: String {
        var text = "v1 ends=\(ends)"
        if let origin { text += " origin=\(origin.source):\(origin.wall)" }
        if !open.isEmpty {
            text += " open=" + open.map { String($0.hash, radix: 16) + ":\($0.number)" }.joined(separator: ",")
        }
        return text
    }

    /// Reads a note. One that is not ours, or of a later version, says nothing: everything from the offset on is sent.
    package init(offset: Int64, note: String?) {
        self.init(offset: offset, ends: offset)
        var words = (note ?? "").split(separator: " ")
        guard words.first == "v1" else { return }
        words.removeFirst()
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            switch parts[0] {
            case "ends": ends = max(offset, Int64(parts[1]) ?? offset)
            case "origin":
                let moments = parts[1].split(separator: ":").map { Int64($0) }
                if moments.count == 2, let source = moments[0], let wall = moments[1] {
                    origin = TimeOrigin(source: source, wall: wall)
                }
            case "open":
                for entry in parts[1].split(separator: ",") {
                    let pair = entry.split(separator: ":")
                    guard pair.count == 2, let hash = UInt64(pair[0], radix: 16), let number = Int(pair[1]) else {
                        continue
                    }
                    open.append(OpenConnection(hash: hash, number: number))
                }
            default: continue
            }
        }
    }
}

/// What of a partition is not resolved.
struct PartitionLag: Sendable, Equatable {
    var records: Int64 = 0
    /// Estimated: records not read yet count with the mean of those that were.
    var bytes: Double = 0
    /// Age of the oldest record that is not resolved.
    var seconds: Double = 0
}

/// What one assignment of a partition has read and resolved; on the reader's thread.
struct PartitionLedger {
    /// Tells the work of this assignment from that of an earlier one of the same partition.
    let epoch: UInt32
    /// What an earlier assignment has resolved.
    let start: ReplayPosition
    /// Left behind when the partition is given away.
    private var open: [ReplayPosition.OpenConnection] = []
    /// Records that something still needs.
    private var held: WatermarkTracker
    /// Records with ends of requests that are not resolved.
    private var ends: WatermarkTracker
    private(set) var nextOffset: Int64
    private var recordCount = 0
    private var recordBytes = 0
    private var lastTime: Int64 = 0
    /// Position last committed.
    var committed: ReplayPosition?

    init(_ start: ReplayPosition, epoch: UInt32) {
        self.epoch = epoch
        self.start = start
        open = start.open
        held = WatermarkTracker(start: start.offset)
        ends = WatermarkTracker(start: start.offset)
        nextOffset = start.offset
    }

    /// - Parameters:
    ///   - time: when the record was written, milliseconds since 1970; 0 or less when that is not known.
    ///   - byteCount: of its value.
    mutating func received(_ offset: Int64, time: Int64 = 0, byteCount: Int = 0) {
        held.open(offset, time: time)
        ends.open(offset, time: time)
        nextOffset = offset + 1
        recordCount += 1
        recordBytes += byteCount
        if time > 0 { lastTime = time }
    }

    /// How far the group is behind.
    /// - Parameters:
    ///   - end: offset of the next record to be written.
    ///   - now: milliseconds since 1970.
    func lag(end: Int64, now: Int64) -> PartitionLag {
        let resolved = max(ends.watermark, start.ends)
        let records = max(0, max(end, nextOffset) - resolved)
        guard records > 0 else { return PartitionLag() }
        let meanBytes = recordCount > 0 ? Double(recordBytes) / Double(recordCount) : 0
        let since = ends.watermarkTime ?? lastTime
        return PartitionLag(
            records: records, bytes: meanBytes * Double(records),
            seconds: since > 0 ? max(0, Double(now - since) / 1000) : 0)
    }

    /// Every request that ends in the record is resolved.
    mutating func endsResolved(_ offset: Int64) { ends.settle(offset) }

    /// Nothing needs the record any more.
    mutating func released(_ offset: Int64) { held.settle(offset) }

    /// What may be committed. Never lower than what the assignment began with.
    func position(origin: TimeOrigin?) -> ReplayPosition {
        let resolved = max(ends.watermark, start.ends)
        var position = ReplayPosition(offset: min(held.watermark, resolved), ends: resolved, origin: origin)
        // As long as not all that an earlier assignment resolved was read again, what it left open may still be.
        position.leaveOpen(ends.watermark < start.ends ? open : open.filter(\.isLeftHere))
        return position
    }

    /// Connections stand as `connections` say: left open here, or an open one come so far.
    mutating func leaveOpen(_ connections: [ReplayPosition.OpenConnection]) {
        for connection in connections {
            open.removeAll { $0.hash == connection.hash }
            open.append(connection)
        }
    }

    /// Every request that ends below `offset` is resolved.
    func isResolved(below offset: Int64) -> Bool { ends.watermark >= offset }
    var isSettled: Bool { held.isEmpty && ends.isEmpty }
}

/// The hash of Fowler, Noll and Vo, 64 bits, variant 1a: positions keep it, so it never changes.
enum FNV1a {
    static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
