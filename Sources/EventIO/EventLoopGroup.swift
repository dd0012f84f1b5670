import Synchronization

/// A fixed set of running loops.
package final class EventLoopGroup: Sendable {
    package let loops: [EventLoop]
    private let turn = Atomic<Int>(0)

    /// Makes and starts `count` loops, which is about one a core that they may use.
    package init(count: Int) throws(IOError) {
        precondition(count > 0, "a group of \(count) loops")
        var loops: [EventLoop] = []
        for index in 0..<count { loops.append(try EventLoop(label: "loop.\(index)")) }
        self.loops = loops
        for loop in loops { loop.start() }
    }

    /// The loops in turn.
    package func next() -> EventLoop {
        let ticket = turn.wrappingAdd(1, ordering: .relaxed).oldValue
        return loops[Int(UInt(bitPattern: ticket) % UInt(loops.count))]
    }

    /// Stops every loop and waits for them; not from one of the loops.
    package func stop() {
        for loop in loops { loop.stop() }
    }
}
