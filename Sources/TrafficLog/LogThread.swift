import CSystem
import Glibc

/// A thread of a log, for disk writes that block. Dispatch's shared pool is left to the event loops.
final class LogThread {
    private var thread = pthread_t()

    /// Starts `body` on a thread of its own.
    init(name: String, body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Body(name: name, body: body))
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let body = Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
                millrace_set_thread_name(body.name)
                body.body()
                return nil
            }, box.toOpaque())
        precondition(code == 0, "pthread_create failed with \(code)")
    }

    /// Waits until the body has returned. Called once, by another thread.
    func join() { pthread_join(thread, nil) }

    private final class Body: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = String(name.prefix(15))
            self.body = body
        }
    }
}

/// A mutex with a condition.
// Sound: pthread's own guarantees; the memory lives as long as the object.
final class LogMonitor: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the lock held.
    func locked<Result, Problem: Error>(_ body: () throws(Problem) -> Result) throws(Problem) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Gives the lock up until `signalAll` or until the monotonic clock shows `deadline`. Only within `locked`; may
    /// return early.
    func wait(until deadline: UInt64) {
        var time = timespec()
        let bounded = min(deadline, 1 << 62)
        time.tv_sec = Int(bounded / 1_000_000_000)
        time.tv_nsec = Int(bounded % 1_000_000_000)
        pthread_cond_timedwait(condition, mutex, &time)
    }

    func signalAll() { pthread_cond_broadcast(condition) }
}
