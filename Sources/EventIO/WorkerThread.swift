import CSystem
import Glibc

/// A thread for blocking and processor-bound work. Dispatch's shared pool is left to the event loops: a worker that
/// computes for seconds on it would keep a loop from running.
package final class WorkerThread {
    private var thread = pthread_t()

    /// Starts `body` on a thread of its own. The kernel keeps 15 bytes of `name`.
    package init(name: String, body: @escaping @Sendable () -> Void) {
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
    package func join() { pthread_join(thread, nil) }

    private final class Body: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = String(name.prefix(15))
            self.body = body
        }
    }
}
