import EventIO
import Glibc

/// Rolling files of tuples, written by a thread of their own.
///
/// Any thread appends lines, each with a ticket. The writer packs what waits into a group, writes it, syncs it, and
/// only then hands the tickets out as durable: at the latest `groupInterval` after the first of them was appended, or
/// when `groupBytes` wait, or `heldBytes` wait for them, or after `hurry`, plus the time that the disk takes. Tickets
/// come back in the order of their `append`s.
///
/// A file is `tuples-<instance>-<UTC time>-<number>.ndjson[.gz|.zst]`, with `.part` behind it until it is finished. It
/// is finished when it reaches `fileBytes` or `fileAge`, and on `close`. What a killed process left as `.part` is cut
/// behind its last whole group and finished when the next writer of that instance starts.
///
/// When the disk is full or fails, the group is tried again, from its place on: nothing of it counts before it was
/// synced. A file that fails twice is given up, so that a damaged one does not stop everything (when it could not be
/// cut either, it may hold lines that the next one holds, too). Nothing is dropped: what waits grows, and
/// whoever appends counts it until its tickets come back.
// Sound: everything mutable is in `shared`, used with `monitor`'s lock held, or in the writer, used by its thread.
package final class TupleFiles: @unchecked Sendable {
    package struct Settings: Sendable {
        /// Made when it is not there; its parent must be.
        package var folder: String
        /// Of this replayer, different from those that write to the same folder: letters, digits, `-`, `_`, `.`.
        package var instance: String
        package var compression = TupleCompression.gzip
        /// A file takes no more groups once it is this long, packed.
        package var fileBytes: Int64 = 128 << 20
        package var fileAge = Duration.seconds(300)
        /// Unpacked. A single tuple may be larger.
        package var groupBytes = 4 << 20
        package var groupInterval = Duration.milliseconds(200)
        /// Memory beside the lines that is let go of when a group is durable; at so much the group is written at once.
        package var heldBytes = Int.max
        /// Between two attempts to write a group.
        package var retryInterval = Duration.seconds(1)

        package init(folder: String, instance: String) {
            self.folder = folder
            self.instance = instance
        }
    }

    package enum Event: Sendable, Equatable {
        /// The tuples with these tickets are on disk.
        case durable([UInt64])
        /// A group could not be written and is tried again; for a log line and a metric. Comes with every attempt.
        case failed(TupleFileError)
        /// A file is finished, and as long.
        case finished(path: String, byteCount: Int64)
        /// What another run left was cut behind its last whole group.
        case recovered(path: String, keptBytes: Int64, cutBytes: Int64)
    }

    /// Lines that become durable together: no more are added once there are `groupBytes`.
    private struct Group {
        var lines: [UInt8] = []
        var tickets: [UInt64] = []
        /// When the first of them came.
        var firstNanoseconds: UInt64 = 0
        var heldBytes = 0
        /// Written now, whatever its age.
        var isUrgent = false
    }

    private struct Shared {
        /// In order; all but the last one are full.
        var groups: [Group] = []
        /// Memory of a group that was written.
        var spare: [UInt8] = []
        var isClosing = false
    }

    private let settings: Settings
    private let monitor = Monitor()
    private var shared = Shared()
    /// When the writer gives up on a disk that fails; far away until the end.
    private var closeDeadline = MonotonicInstant(nanoseconds: .max)
    private let events: @Sendable (Event) -> Void
    private var thread: WorkerThread?

    /// Finishes what an earlier run left, and starts. `events` is called by the writer's thread, and by this one while
    /// it recovers. `wallClock` gives milliseconds since 1970, for names and ages.
    package init(
        _ settings: Settings, system: any TupleFileSystem = RealTupleFileSystem(),
        wallClock: @escaping @Sendable () -> Int64, events: @escaping @Sendable (Event) -> Void
    ) throws(TupleFileError) {
        precondition(TupleFileName.isInstance(settings.instance), "\"\(settings.instance)\" is no instance's name")
        self.settings = settings
        self.events = events
        try TupleFolder.prepare(settings.folder)
        for event in try TupleFolder.recover(settings.folder, instance: settings.instance, system) { events(event) }
        thread = WorkerThread(name: "tuples") { [self] in
            run(TupleFileWriter(settings, system: system, wallClock: wallClock))
        }
    }

    /// Puts whole lines, with their line feeds, behind those that wait. Never blocks for the disk and never refuses.
    /// - Parameter heldBytes: memory of the caller's that is needed until the ticket comes back.
    package func append(_ lines: [UInt8], ticket: UInt64, heldBytes: Int = 0) {
        monitor.locked {
            precondition(!shared.isClosing, "a tuple after the end")
            let wasEmpty = shared.groups.isEmpty
            if wasEmpty || shared.groups[shared.groups.count - 1].lines.count >= settings.groupBytes { addGroup() }
            let last = shared.groups.count - 1
            shared.groups[last].lines.append(contentsOf: lines)
            shared.groups[last].tickets.append(ticket)
            shared.groups[last].heldBytes += heldBytes
            let isUrgent =
                shared.groups[last].lines.count >= settings.groupBytes
                || shared.groups[last].heldBytes >= settings.heldBytes
            if isUrgent { shared.groups[last].isUrgent = true }
            if wasEmpty || isUrgent { monitor.signalAll() }
        }
    }

    /// Whoever appends can do nothing more before what waits is durable: it is written at once.
    package func hurry() {
        monitor.locked {
            guard let last = shared.groups.indices.last, !shared.groups[last].isUrgent else { return }
            shared.groups[last].isUrgent = true
            monitor.signalAll()
        }
    }

    /// With the lock held.
    private func addGroup() {
        var group = Group(firstNanoseconds: MonotonicInstant.now().nanoseconds)
        swap(&group.lines, &shared.spare)
        shared.groups.append(group)
    }

    /// Writes what waits, finishes the file, and returns when the thread has ended. With a disk that fails, what could
    /// not be written within `patience` is left, not durable. Called once, by the owner; the thread lives until then.
    package func close(patience: Duration = .seconds(10)) {
        let deadline = MonotonicInstant.now().advanced(by: patience)
        monitor.locked {
            shared.isClosing = true
            closeDeadline = deadline
            monitor.signalAll()
        }
        thread?.join()
    }

    // MARK: The writer's thread

    private func run(_ writer: TupleFileWriter) {
        while true {
            var group = Group()
            let isClosing = nextGroup(writer, &group)
            if !group.tickets.isEmpty {
                guard write(group.lines, writer) else { return }
                giveBack(&group.lines)
                events(.durable(group.tickets))
            }
            if writer.isDue || (isClosing && group.tickets.isEmpty) { finish(writer) }
            if isClosing, group.tickets.isEmpty { return }
        }
    }

    /// The next group uses the memory again, unless a single tuple has made it large.
    private func giveBack(_ lines: inout [UInt8]) {
        guard lines.capacity <= 4 * settings.groupBytes else { return }
        lines.removeAll(keepingCapacity: true)
        monitor.locked { swap(&lines, &shared.spare) }
    }

    /// Waits until a group is due, the file is, or the end is near; true when it is. The group stays empty when none
    /// waits.
    private func nextGroup(_ writer: TupleFileWriter, _ group: inout Group) -> Bool {
        monitor.locked {
            while true {
                var deadline = UInt64.max
                if let first = shared.groups.first {
                    deadline = first.firstNanoseconds &+ UInt64(max(0, settings.groupInterval.wholeNanoseconds))
                    if first.isUrgent { break }
                } else if writer.isDue {
                    break
                }
                if shared.isClosing || deadline <= MonotonicInstant.now().nanoseconds { break }
                if let remaining = writer.nanosecondsUntilDue {
                    deadline = min(deadline, MonotonicInstant.now().nanoseconds &+ remaining)
                }
                monitor.wait(until: deadline)
            }
            if !shared.groups.isEmpty { group = shared.groups.removeFirst() }
            return shared.isClosing
        }
    }

    /// False when the end's patience is over.
    private func write(_ lines: [UInt8], _ writer: TupleFileWriter) -> Bool {
        writer.pack(lines)
        while true {
            do throws(TupleFileError) {
                try writer.writeGroup()
                return true
            } catch {
                events(.failed(error))
            }
            let retry = MonotonicInstant.now().advanced(by: settings.retryInterval)
            let isOver = monitor.locked {
                while true {
                    let now = MonotonicInstant.now()
                    if now >= closeDeadline { return true }
                    if now >= retry { return false }
                    monitor.wait(until: min(retry, closeDeadline).nanoseconds)
                }
            }
            if isOver { return false }
        }
    }

    private func finish(_ writer: TupleFileWriter) {
        do throws(TupleFileError) {
            if let file = try writer.finish() { events(.finished(path: file.path, byteCount: file.byteCount)) }
        } catch {
            // It stays `.part`, with everything in it, for the next start.
            events(.failed(error))
        }
    }
}
