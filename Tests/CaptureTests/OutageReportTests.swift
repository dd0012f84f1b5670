import Glibc
import Settings
import Synchronization
import Telemetry
import TestSupport
import Testing
import TrafficLog

@testable import Capture

@Suite struct OutageReportTests {
    /// A clock that the test moves, and what is to be called later.
    private final class VirtualTime: Sendable {
        private struct State {
            var now = Duration.zero
            var due: [(at: Duration, work: @Sendable () -> Void)] = []
        }
        private let state = Mutex(State())

        var now: Duration { state.withLock { $0.now } }

        func later(_ delay: Duration, _ work: @escaping @Sendable () -> Void) {
            state.withLock { $0.due.append(($0.now + delay, work)) }
        }

        func advance(by duration: Duration) {
            let due = state.withLock { state -> [@Sendable () -> Void] in
                state.now += duration
                let now = state.now
                defer { state.due.removeAll { $0.at <= now } }
                return state.due.filter { $0.at <= now }.map(\.work)
            }
            for work in due { work() }
        }
    }

    /// What the report compares.
    private final class Figures: Sendable {
        let value = Mutex(OutageReport.Figures())
        func set(_ change: (inout OutageReport.Figures) -> Void) { value.withLock { change(&$0) } }
    }

    private final class Rig {
        let time = VirtualTime()
        let figures = Figures()
        let report: OutageReport
        private let folder: TemporaryFolder
        private let descriptor: Int32

        init(_ policy: CaptureSettings.OutagePolicy) throws {
            let (time, figures) = (time, figures)
            folder = try TemporaryFolder()
            descriptor = open(folder.path + "/log", O_RDWR | O_CREAT | O_APPEND, 0o600)
            report = OutageReport(
                Log(LogOutput(descriptor: descriptor, format: .json)), policy: policy,
                figures: { figures.value.withLock { $0 } }, now: { time.now }, later: { time.later($0, $1) })
        }

        deinit { close(descriptor) }

        var lines: [String] {
            let bytes = (try? FileTree.read(folder.path + "/log")) ?? []
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        }

        func out(_ reason: String = "gone") { report.changed(to: .outage(since: 0, reason: reason)) }
        func back() { report.changed(to: .healthy) }
    }

    @Test func anOutageIsToldWithItsDurationAndCounts() throws {
        let rig = try Rig(.refuse)
        rig.out("the broker is gone")
        rig.out("the broker is still gone")
        rig.figures.set { $0.refusedRequests = 7 }
        rig.time.advance(by: .seconds(30))
        rig.back()
        let lines = rig.lines
        try #require(lines.count == 2)
        #expect(lines[0].contains("writing requests are refused") && lines[0].contains("the broker is gone"))
        #expect(lines[1].contains("takes records again") && lines[1].contains("\"requestCount\":7"))
        #expect(lines[1].contains("\"durationSeconds\":30"))
    }

    @Test func forwardingAndSpoolingTellWhatTheyCost() throws {
        let forwarding = try Rig(.forward)
        forwarding.out()
        forwarding.figures.set {
            $0.unrecordedWrites = 3
            $0.gaps = 2
        }
        forwarding.back()
        #expect(forwarding.lines.count == 2)
        #expect(forwarding.lines.last?.contains("\"requestCount\":3") == true)
        #expect(forwarding.lines.last?.contains("\"gapCount\":2") == true)

        let spooling = try Rig(.spool)
        spooling.figures.set { $0.records = 10 }
        spooling.report.changed(to: .spooling(since: 0, reason: "gone"))
        spooling.figures.set { $0.records = 15 }
        // The disk is full as well: spooling ends, refusing begins once the interval is over.
        spooling.out("disk full")
        #expect(spooling.lines.count == 2)
        #expect(spooling.lines.last?.contains("\"recordCount\":5") == true)
        spooling.time.advance(by: .seconds(10))
        #expect(spooling.lines.count == 3)
        #expect(spooling.lines.last?.contains("disk full") == true)
    }

    @Test func aLogThatComesAndGoesIsToldOnceAnInterval() throws {
        let rig = try Rig(.refuse)
        for _ in 0..<100 {
            rig.out()
            rig.back()
            rig.time.advance(by: .milliseconds(50))
        }
        // 0.0 s with its end; the others are inside the interval.
        #expect(rig.lines.count == 2)
        rig.time.advance(by: .seconds(10))
        #expect(rig.lines.count == 3)
        #expect(rig.lines.last?.contains("\"suppressed\":99") == true)
        rig.time.advance(by: .seconds(60))
        #expect(rig.lines.count == 3)
    }

    @Test func anOutageThatBeginsTooSoonAndLastsIsTold() throws {
        let rig = try Rig(.refuse)
        rig.out()
        rig.back()
        rig.time.advance(by: .seconds(1))
        rig.out("again")
        #expect(rig.lines.count == 2)
        rig.time.advance(by: .seconds(9))
        #expect(rig.lines.last?.contains("again") == true)
        rig.time.advance(by: .seconds(11))
        rig.back()
        // From when it began, not from when it was told.
        #expect(rig.lines.last?.contains("\"durationSeconds\":20") == true)
    }
}
