import Glibc

/// A pipe whose content is read when the writers are done.
final class Pipe: Sendable {
    let readEnd: Int32
    let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        let code = pipe(&ends)
        precondition(code == 0, "pipe failed with \(errno)")
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    /// Closes the write end and returns everything.
    func content() -> [UInt8] {
        close(writeEnd)
        return drain()
    }

    /// Reads until the write end is closed elsewhere.
    func drain() -> [UInt8] {
        var result: [UInt8] = []
        var page = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(readEnd, &page, page.count)
            guard count > 0 else { break }
            result += page[..<count]
        }
        close(readEnd)
        return result
    }
}

/// A thread that is joined.
final class TestThread {
    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body() }
                return nil
            }, box.toOpaque())
        precondition(code == 0, "pthread_create failed with \(code)")
    }

    func join() { pthread_join(thread, nil) }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
