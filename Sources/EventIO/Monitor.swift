import Glibc

/// A mutex with a condition, for threads that wait for each other. Waiting follows the monotonic clock.
// Sound: pthread's own guarantees; the memory lives as long as the object.
package final class Monitor: @unchecked Sendable {
    @usableFromInline let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init() {
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
    @inlinable
    package func locked<Result, Problem: Error>(_ body: () throws(Problem) -> Result) throws(Problem) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Gives the lock up until another thread calls `signalAll` or `milliseconds` are over. Only within `locked`; may
    /// return early.
    package func wait(milliseconds: Int = 3_600_000) {
        wait(until: MonotonicInstant.now().nanoseconds + UInt64(max(0, milliseconds)) * 1_000_000)
    }

    /// Gives the lock up until `signalAll` or until the monotonic clock shows `deadline`, in nanoseconds. Only within
    /// `locked`; may return early.
    package func wait(until deadline: UInt64) {
        var time = timespec()
        let bounded = min(deadline, 1 << 62)
        time.tv_sec = Int(bounded / 1_000_000_000)
        time.tv_nsec = Int(bounded % 1_000_000_000)
        pthread_cond_timedwait(condition, mutex, &time)
    }

    package func signalAll() { pthread_cond_broadcast(condition) }
}
