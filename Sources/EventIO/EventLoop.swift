import CSystem
import Dispatch
import Glibc
import Synchronization

/// One event loop: a serial Dispatch queue, an edge-triggered epoll instance, and ONE Dispatch source on that
/// instance's descriptor.
///
/// Dispatch re-arms its own descriptors one shot at a time and asks for their byte counts, which costs twice a raw
/// epoll loop's processor time when every socket is a source. Here it only says that the inner instance has events;
/// `turn` then drains it with `epoll_wait(…, 5 ms)` until nothing comes or the round limit is reached. The wait keeps a
/// loop that just outruns its peers from bouncing between Dispatch's threads.
///
/// Owns every connection, listener, timer and buffer that was made for it; all of them are confined to its queue.
/// `execute` and `stop` may be called from any thread. A started loop lives until `stop`.
// Sound: `inbox`, `currentThread` and `finished` synchronise themselves, the descriptors never change while the loop
// lives, and everything else is touched only by `turn`, which runs on the serial queue.
package final class EventLoop: @unchecked Sendable {
    private static let eventsPerWait = 256
    /// After so many rounds the queue's thread goes back to Dispatch, which keeps the system's other queues alive.
    private static let roundLimit = 256
    /// How long a drained loop waits for more before it leaves the thread to Dispatch. 1 ms would do, but it is sooner
    /// than the kernel's next tick, so each wait would program the processor's timer anew, which a virtual machine
    /// pays dearly: measured 1.21 times a bare epoll loop's processor time (echo of 256 bytes) against 1.07 with 5 ms.
    private static let drainMilliseconds: UInt64 = 5
    /// How long one round may spend on peers that have ended, and on timers, while others wait: thousands of
    /// connections can end or be due at once.
    private static let lowPriorityTime = Duration.microseconds(500)
    private static let hangupsBetweenPolls = 4
    private static let wakeToken = UInt64.max
    private static let timerToken = UInt64.max - 1

    /// A closure as an array's element itself would cost an allocation a hand-over: it is wrapped to be generic.
    private struct Work: Sendable {
        let run: @Sendable () -> Void
    }

    private struct Inbox {
        var work: [Work] = []
        var isClosed = false
    }

    package let label: String
    private let queue: DispatchQueue
    private let epollDescriptor: Int32
    private let wakeDescriptor: Int32
    private let timerDescriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private let inbox = Mutex(Inbox())
    /// The thread that is in `turn`, or 0.
    private let currentThread = Atomic<UInt>(0)
    private let isStarted = Atomic<Bool>(false)
    private let finished = DispatchGroup()

    // Confined to the queue.
    private var source: (any DispatchSourceRead)?
    private var table = PollTable()
    private var wheel = TimerWheel()
    private var armedTick = UInt64.max
    private let birth: MonotonicInstant
    private var cachedNow: MonotonicInstant
    /// Connections with something to do once the current callback has returned.
    private var deferred: ContiguousArray<Connection> = []
    private var deferredBatch: ContiguousArray<Connection> = []
    /// Connections that read as much as one turn allows and go on in the next round.
    private var postponed: ContiguousArray<Connection> = []
    /// Connections whose peers have ended, in order, from `hangupHead` on.
    private var hangups: ContiguousArray<Connection> = []
    private var hangupHead = 0
    /// Closed connections, kept until no frame of the batch can still be using them.
    private var graveyard: ContiguousArray<Connection> = []
    private var inboxBatch: [Work] = []
    /// Called on the loop when a batch of events has been served and before the next one is waited for: the place to
    /// hand over together what the batch produced. Set on the loop.
    package var batchServed: (() -> Void)?
    /// `stop` was called: nothing new is connected any more.
    private(set) var isStopping = false

    /// Read buffers for whatever runs on this loop.
    package let bufferPool = BufferPool()
    /// Scratch for vectored writes and for gathering TLS records.
    let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: OutputQueue.vectorLimit)
    /// One TLS record, for use within one call.
    private(set) lazy var recordScratch = RecordScratch()

    /// Makes the descriptors; nothing runs before `start`.
    package init(label: String) throws(IOError) {
        // A write to a connection that its peer has closed must be an error of that write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        self.label = label
        queue = DispatchQueue(label: "millrace.\(label)")
        epollDescriptor = millrace_epoll_create()
        wakeDescriptor = millrace_eventfd()
        timerDescriptor = millrace_timerfd()
        guard epollDescriptor >= 0, wakeDescriptor >= 0, timerDescriptor >= 0,
            millrace_epoll_add(
                epollDescriptor, wakeDescriptor, millrace_epoll_in | millrace_epoll_et, Self.wakeToken) == 0,
            millrace_epoll_add(
                epollDescriptor, timerDescriptor, millrace_epoll_in | millrace_epoll_et, Self.timerToken) == 0
        else {
            let number = errno
            for descriptor in [epollDescriptor, wakeDescriptor, timerDescriptor] where descriptor >= 0 {
                close(descriptor)
            }
            throw .system(number, "event loop \(label): make epoll, eventfd and timerfd")
        }
        events = .allocate(capacity: Self.eventsPerWait)
        birth = .now()
        cachedNow = birth
    }

    deinit {
        close(epollDescriptor)
        close(wakeDescriptor)
        close(timerDescriptor)
        events.deallocate()
        vectors.deallocate()
    }

    /// Starts the loop. Called once.
    package func start() {
        precondition(!isStarted.exchange(true, ordering: .acquiringAndReleasing), "loop \(label) was started twice")
        finished.enter()
        let source = DispatchSource.makeReadSource(fileDescriptor: epollDescriptor, queue: queue)
        // The source owns the loop until `stop` cancels it. The descriptors are closed in `deinit`, after that.
        source.setEventHandler { self.turn() }
        source.setCancelHandler { self.finished.leave() }
        self.source = source
        source.activate()
    }

    /// Runs `work` on the loop, after what was handed over before it. Returns false, and drops the work, when the loop
    /// has stopped. Costs one eventfd write per batch, not per call.
    @discardableResult
    package func execute(_ work: @escaping @Sendable () -> Void) -> Bool {
        let state = inbox.withLock { inbox -> (isAccepted: Bool, isFirst: Bool) in
            guard !inbox.isClosed else { return (false, false) }
            inbox.work.append(Work(run: work))
            return (true, inbox.work.count == 1)
        }
        if state.isFirst { wake() }
        return state.isAccepted
    }

    /// Whether the caller runs on this loop.
    package var isCurrent: Bool { currentThread.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// The time of the current batch of events. Only on the loop.
    package var now: MonotonicInstant { cachedNow }

    /// Runs `work` on the loop no earlier than `delay` after `now`, to the millisecond. Only on the loop. Work with no
    /// delay runs in a later batch, never within this call.
    package func schedule(after delay: Duration, _ work: @escaping () -> Void) -> TimerToken {
        assert(isCurrent, "schedule off loop \(label)")
        let due = cachedNow.advanced(by: max(delay, .zero))
        let tick = (due.nanoseconds &- birth.nanoseconds &+ 999_999) / 1_000_000
        return wheel.schedule(atTick: max(tick, tickNow &+ 1), work)
    }

    /// Cancels a timer. A token that has fired or was cancelled is ignored. Only on the loop.
    package func cancel(_ token: TimerToken) {
        assert(isCurrent, "cancel off loop \(label)")
        wheel.cancel(token)
    }

    /// Closes every connection and listener, runs the work that was handed over before, and ends the loop. From another
    /// thread it waits until that is done; on the loop it returns at once and the loop ends after the current batch.
    /// Further calls are allowed.
    package func stop() {
        guard isStarted.load(ordering: .acquiring) else {
            inbox.withLock { $0.isClosed = true }
            return
        }
        if isCurrent {
            isStopping = true
            wake()
            return
        }
        execute { self.isStopping = true }
        finished.wait()
    }

    /// Connections and listeners that are registered. Only on the loop.
    package var targetCount: Int { table.count }

    // MARK: For connections and listeners

    /// Registers a descriptor. Returns errno, or 0.
    func register(_ target: PollTarget, descriptor: Int32, events: UInt32) -> Int32 {
        let token = table.insert(target)
        guard millrace_epoll_add(epollDescriptor, descriptor, events, token) == 0 else {
            let number = errno
            table.remove(target)
            return number
        }
        return 0
    }

    /// Takes the descriptor of a registered target out of the epoll instance until `watch`.
    func unwatch(_ descriptor: Int32) {
        let code = millrace_epoll_remove(epollDescriptor, descriptor)
        precondition(code == 0, "epoll_ctl(DEL) of descriptor \(descriptor): errno \(errno)")
    }

    func watch(_ target: PollTarget, descriptor: Int32, events: UInt32) {
        let code = millrace_epoll_add(epollDescriptor, descriptor, events, table.token(of: target))
        precondition(code == 0, "epoll_ctl(ADD) of descriptor \(descriptor): errno \(errno)")
    }

    /// Forgets a target whose descriptor is about to be closed; the close takes it out of the epoll instance.
    func unregister(_ target: PollTarget) { table.remove(target) }

    /// Has `connection.runDeferred()` called when the current callback has returned.
    func deferWork(of connection: Connection) { deferred.append(connection) }

    /// Has `connection.continueReading()` called in the next round.
    func postpone(_ connection: Connection) { postponed.append(connection) }

    /// Has `connection.continueHangup()` called behind the events that are known now.
    func hangUpLater(_ connection: Connection) { hangups.append(connection) }

    func bury(_ connection: Connection) { graveyard.append(connection) }

    // MARK: The loop

    private var tickNow: UInt64 { (cachedNow.nanoseconds &- birth.nanoseconds) / 1_000_000 }

    /// Not longer than until the next timer, whose descriptor is only armed when the turn ends.
    private var waitMilliseconds: Int32 {
        guard postponed.isEmpty, hangups.isEmpty, !isStopping else { return 0 }
        guard let next = wheel.nextTick else { return Int32(Self.drainMilliseconds) }
        let tick = tickNow
        return next <= tick ? 0 : Int32(min(next - tick, Self.drainMilliseconds))
    }

    private func wake() {
        var one: UInt64 = 1
        // EAGAIN means that the counter is full, and then the loop has been woken already.
        _ = write(wakeDescriptor, &one, 8)
    }

    /// Drains the epoll instance. Leaving early loses nothing: Dispatch polls the instance's descriptor again.
    private func turn() {
        currentThread.store(UInt(pthread_self()), ordering: .relaxed)
        var rounds = 0
        while rounds < Self.roundLimit {
            rounds += 1
            let count = Int(epoll_wait(epollDescriptor, events, Int32(Self.eventsPerWait), waitMilliseconds))
            cachedNow = .now()
            var isBusy = count > 0
            for index in 0..<max(count, 0) {
                dispatch(token: millrace_event_token(events + index), mask: millrace_event_mask(events + index))
            }
            if !postponed.isEmpty {
                isBusy = true
                runPostponed()
            }
            if !hangups.isEmpty {
                isBusy = true
                runHangups(pollIsFull: count == Self.eventsPerWait)
            }
            if runTimers() { isBusy = true }
            if isBusy { batchServed?() }
            graveyard.removeAll(keepingCapacity: true)
            if isStopping {
                finish()
                currentThread.store(0, ordering: .relaxed)
                return
            }
            if !isBusy { break }
        }
        if !postponed.isEmpty || !hangups.isEmpty { wake() }
        armTimer()
        currentThread.store(0, ordering: .relaxed)
    }

    private func dispatch(token: UInt64, mask: UInt32) {
        switch token {
        // Both descriptors are edge-triggered: a new write or expiry makes a new event, so nothing has to be read.
        case Self.wakeToken: drainInbox()
        case Self.timerToken: armedTick = .max
        default:
            guard let target = table.target(of: token) else { return }
            target.ready(mask)
            if !deferred.isEmpty { runDeferred() }
        }
    }

    private func drainInbox() {
        inbox.withLock { swap(&$0.work, &inboxBatch) }
        for work in inboxBatch {
            work.run()
            runDeferred()
        }
        inboxBatch.removeAll(keepingCapacity: inboxBatch.capacity <= 4096)
    }

    private func runDeferred() {
        while !deferred.isEmpty {
            swap(&deferred, &deferredBatch)
            for connection in deferredBatch { connection.runDeferred() }
            deferredBatch.removeAll(keepingCapacity: true)
        }
    }

    private func runPostponed() {
        let batch = postponed
        postponed.removeAll(keepingCapacity: true)
        for connection in batch {
            connection.continueReading()
            runDeferred()
        }
    }

    /// Ends connections whose peers have ended. While more events wait than one poll brought, only a few: those who
    /// have ended also are among these events, and seeing them all costs less than ending some.
    private func runHangups(pollIsFull: Bool) {
        let end = MonotonicInstant.now().advanced(by: Self.lowPriorityTime)
        var left = pollIsFull ? Self.hangupsBetweenPolls : Int.max
        repeat {
            let connection = hangups[hangupHead]
            hangupHead += 1
            left -= 1
            connection.continueHangup()
            runDeferred()
        } while left > 0 && hangupHead < hangups.count && MonotonicInstant.now() < end
        if hangupHead == hangups.count {
            hangups.removeAll(keepingCapacity: hangups.capacity <= 4096)
            hangupHead = 0
        }
    }

    private func runTimers() -> Bool {
        guard wheel.count > 0 else { return false }
        let tick = tickNow
        guard let first = wheel.popExpired(upTo: tick) else { return false }
        let end = MonotonicInstant.now().advanced(by: Self.lowPriorityTime)
        var next: (() -> Void)? = first
        while let work = next {
            work()
            runDeferred()
            next = MonotonicInstant.now() < end ? wheel.popExpired(upTo: tick) : nil
        }
        return true
    }

    /// Sets the timer descriptor for the earliest timer. A later deadline than the armed one is left alone: it costs
    /// one early wake instead of a system call per turn.
    private func armTimer() {
        guard let next = wheel.nextTick, next < armedTick else { return }
        armedTick = next
        _ = millrace_timerfd_arm(timerDescriptor, birth.nanoseconds &+ next &* 1_000_000)
    }

    /// Closes everything and cancels the source. Callbacks may hand over more work meanwhile; it still runs.
    private func finish() {
        for target in table.all { target.loopStopped() }
        runDeferred()
        wheel.removeAll()
        while !inbox.withLock({ inbox in
            if inbox.work.isEmpty { inbox.isClosed = true }
            return inbox.isClosed
        }) {
            drainInbox()
            for target in table.all { target.loopStopped() }
            runDeferred()
        }
        wheel.removeAll()
        postponed.removeAll()
        hangups.removeAll()
        graveyard.removeAll()
        source?.cancel()
        source = nil
    }
}

/// Memory in which small slices become one TLS record.
final class RecordScratch {
    let base = UnsafeMutableRawPointer.allocate(byteCount: Connection.tlsRecordBytes, alignment: 64)

    deinit { base.deallocate() }
}
