import CSystem

/// Has a loop call back when a descriptor of somebody else's turns readable, such as a library's event descriptor.
///
/// Confined to its loop. Edge-triggered: what is written calls back once, and nothing has to be read. The descriptor
/// stays its owner's, who keeps it open while the watch lives.
package final class DescriptorWatch: PollTarget {
    private let loop: EventLoop
    private let descriptor: Int32
    private let readable: () -> Void
    private let stopped: () -> Void

    /// On the loop. `stopped` is called on the loop when it ends; from then on nobody watches.
    package init(
        on loop: EventLoop, descriptor: Int32, readable: @escaping () -> Void, stopped: @escaping () -> Void
    ) throws(IOError) {
        assert(loop.isCurrent, "a watch made off loop \(loop.label)")
        self.loop = loop
        self.descriptor = descriptor
        self.readable = readable
        self.stopped = stopped
        super.init()
        let code = loop.register(self, descriptor: descriptor, events: millrace_epoll_in | millrace_epoll_et)
        guard code == 0 else { throw .system(code, "watch descriptor \(descriptor)") }
    }

    /// Ends the watch. On the loop.
    package func cancel() {
        guard slot >= 0 else { return }
        loop.unwatch(descriptor)
        loop.unregister(self)
    }

    override func ready(_ mask: UInt32) { readable() }

    override func loopStopped() {
        cancel()
        stopped()
    }
}
