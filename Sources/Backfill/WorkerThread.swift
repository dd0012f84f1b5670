import CSystem
import Glibc

/// A thread for blocking and processor-bound work. Dispatch's shared pool is left to the event loops: a worker that
/// computes for seconds on it would keep a loop from running.
final class WorkerThread {
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

    /// Waits until the body has returned. Called once.
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

/// A mutex with a condition, for threads that wait for each other.
// Sound: pthread's own guarantees; the memory lives as long as the object.
final class Monitor: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
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

    /// Gives the lock up until another thread calls `signalAll` or `milliseconds` are over. Only within `locked`.
    func wait(milliseconds: Int = 3_600_000) {
        var deadline = timespec()
        clock_gettime(CLOCK_REALTIME, &deadline)
        deadline.tv_sec += milliseconds / 1000
        deadline.tv_nsec += (milliseconds % 1000) * 1_000_000
        if deadline.tv_nsec >= 1_000_000_000 {
            deadline.tv_sec += 1
            deadline.tv_nsec -= 1_000_000_000
        }
        pthread_cond_timedwait(condition, mutex, &deadline)
    }

    func signalAll() { pthread_cond_broadcast(condition) }
}
