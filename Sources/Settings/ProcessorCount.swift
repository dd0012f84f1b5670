import Glibc

/// Processors that this process may use.
package enum ProcessorCount {
    /// The machine's, or fewer when the control group has a quota: a pod with two processors on a large node should not
    /// start a worker for each of the node's.
    package static var available: Int {
        let online = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        guard case .success(let bytes) = SmallFile.read("/sys/fs/cgroup/cpu.max"),
            let quota = quota(String(decoding: bytes, as: UTF8.self))
        else { return online }
        return min(online, quota)
    }

    /// `cpu.max` of control groups version 2: quota and period in microseconds, or `max`. Rounded up.
    static func quota(_ text: String) -> Int? {
        let parts = text.split(whereSeparator: \.isWhitespace)
        guard parts.count == 2, let quota = Int(parts[0]), let period = Int(parts[1]), quota > 0, period > 0 else {
            return nil
        }
        return max(1, quota / period + (quota % period == 0 ? 0 : 1))
    }
}

/// A file that is read at start, such as a password's.
package enum SmallFile {
    package static let limitBytes = 65536

    /// The whole content, or why it cannot be read, naming the file.
    package static func read(_ path: String) -> Result<[UInt8], ValueProblem> { read(path, limitBytes: limitBytes) }

    /// The same for a file that may be larger.
    package static func read(_ path: String, limitBytes: Int) -> Result<[UInt8], ValueProblem> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(problem(path)) }
        defer { close(descriptor) }
        var content: [UInt8] = []
        let page = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { page.deallocate() }
        while true {
            let count = Glibc.read(descriptor, page.baseAddress, page.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(problem(path)) }
            guard count > 0 else { return .success(content) }
            content += page.prefix(count)
            guard content.count <= limitBytes else {
                return .failure(ValueProblem("\(path) is larger than \(limitBytes) bytes"))
            }
        }
    }

    private static func problem(_ path: String) -> ValueProblem {
        ValueProblem("\(path): \(String(cString: strerror(errno)))")
    }
}
