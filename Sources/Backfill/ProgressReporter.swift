import Dispatch

/// Shows how far a run is: a live line on a terminal, or a log entry now and then.
// Sound: all mutable state is confined to `queue`.
final class ProgressReporter: @unchecked Sendable {
    /// One look at the run.
    struct Snapshot: Sendable {
        var figures = BackfillCounters.Figures()
        /// Shards done, open ones by their documents, and all of them.
        var shardsDone = 0.0
        var shardCount = 0
        var waitsForOthers = false
        var elapsed = Duration.zero
    }

    /// Where progress goes.
    enum Style: Sendable {
        /// Rewrites one line of a terminal that has so many columns, asked anew each time.
        case line(write: @Sendable (String) -> Void, columns: @Sendable () -> Int?)
        /// A structured entry.
        case entries(write: @Sendable (Snapshot, ProgressReporter.Rates) -> Void)
        case none
    }

    /// Derived figures of a look, over the time since the last one.
    struct Rates: Sendable {
        var bytesPerSecond = 0.0
        var fraction = 0.0
        var remaining: Duration?
    }

    private let style: Style
    private let look: @Sendable () -> Snapshot
    private let queue = DispatchQueue(label: "backfill.progress")
    private var timer: (any DispatchSourceTimer)?
    private var previous = Snapshot()
    private var smoothedRate: Double?
    private var first: Snapshot?

    /// The live line is never longer, however wide the terminal is.
    static let lineColumns = 100
    private static let lineInterval = DispatchTimeInterval.milliseconds(500)
    private static let entryInterval = DispatchTimeInterval.seconds(10)

    init(style: Style, look: @escaping @Sendable () -> Snapshot) {
        self.style = style
        self.look = look
    }

    func start() {
        let interval: DispatchTimeInterval
        switch style {
        case .line: interval = Self.lineInterval
        case .entries: interval = Self.entryInterval
        case .none: return
        }
        queue.sync {
            first = look()
            let timer = DispatchSource.makeTimerSource(queue: queue)
            timer.schedule(deadline: .now() + interval, repeating: interval)
            timer.setEventHandler { [unowned self] in show() }
            timer.activate()
            self.timer = timer
        }
    }

    /// Shows nothing any more; a live line is taken away.
    func stop() {
        queue.sync {
            timer?.cancel()
            timer = nil
            if case .line(let write, _) = style { write("\r\u{1B}[K") }
        }
    }

    private func show() {
        let now = look()
        let rates = rates(of: now)
        previous = now
        switch style {
        case .line(let write, let columns):
            write("\r" + Self.cut(Self.line(now, rates), to: columns()) + "\u{1B}[K")
        case .entries(let write): write(now, rates)
        case .none: break
        }
    }

    private func rates(of now: Snapshot) -> Rates {
        let seconds = max((now.elapsed - previous.elapsed).seconds, 0.001)
        let rate = Double(now.figures.sourceBytes - previous.figures.sourceBytes) / seconds
        smoothedRate = smoothedRate.map { 0.7 * $0 + 0.3 * rate } ?? rate
        let begin = first ?? now
        first = begin
        var rates = Rates(bytesPerSecond: smoothedRate ?? 0)
        rates.fraction = now.shardCount > 0 ? min(1, now.shardsDone / Double(now.shardCount)) : 0
        let gained = now.shardsDone - begin.shardsDone
        if gained > 0, Double(now.shardCount) > now.shardsDone {
            let perShard = (now.elapsed - begin.elapsed).seconds / gained
            rates.remaining = .seconds(Int(perShard * (Double(now.shardCount) - now.shardsDone)))
        }
        return rates
    }

    /// A line that fills the last column makes terminals wrap, and what has wrapped cannot be rewritten.
    static func cut(_ line: String, to columns: Int?) -> String {
        String(line.prefix(max(1, min(columns ?? lineColumns, lineColumns + 1) - 1)))
    }

    static func line(_ now: Snapshot, _ rates: Rates) -> String {
        let figures = now.figures
        var parts = [
            "\(Int(rates.fraction * 100))%", "shards \(Int(now.shardsDone))/\(now.shardCount)",
            "\(BackfillReport.grouped(figures.migrated)) docs", ByteText.of(Int64(figures.sourceBytes)),
            "\(ByteText.fixed(rates.bytesPerSecond / 1e6)) MB/s",
        ]
        if let remaining = rates.remaining, remaining >= .seconds(1) {
            parts.append(
                "ETA \(remaining < .seconds(10) ? "\(remaining.components.seconds) s" : DurationText.of(remaining))")
        }
        let leftOut = figures.rejected + figures.omitted
        if leftOut > 0 { parts.append("\(leftOut) left out") }
        if figures.retried > 0 { parts.append("\(BackfillReport.grouped(figures.retried)) sent again") }
        if now.waitsForOthers { parts.append("waiting for shards of other processes") }
        if figures.waitingRequests > 0, let problem = figures.lastProblem {
            parts.append(PlainText.of(String(problem.prefix(80))))
        }
        return parts.joined(separator: "  ")
    }
}
