import Glibc

/// What the process itself uses, under the names that Prometheus' own clients give these figures.
package enum ProcessMetrics {
    package static func register(in registry: MetricsRegistry) {
        registry.counter("process_cpu_seconds_total", help: "User and system processor time spent, in seconds.") {
            cpuSeconds
        }
        registry.gauge("process_resident_memory_bytes", help: "Resident memory, in bytes.") {
            Double(residentMemoryBytes ?? 0)
        }
        registry.gauge("process_open_fds", help: "Open file descriptors.") { Double(openDescriptorCount ?? 0) }
        let startSeconds = startTimeSeconds ?? 0
        registry.gauge("process_start_time_seconds", help: "Start of the process, in seconds since 1970.") {
            startSeconds
        }
    }

    package static var cpuSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// proc(5): the second figure of `/proc/self/statm`, in pages.
    package static var residentMemoryBytes: Int? {
        guard let text = ProcFile.read("/proc/self/statm") else { return nil }
        let figures = text.split(separator: " ")
        guard figures.count > 1, let pages = Int(figures[1]) else { return nil }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    package static var openDescriptorCount: Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        // One of them is the folder that is being read.
        return max(0, count - 1)
    }

    /// Boot time of the kernel and field 22 of `/proc/self/stat`, in clock ticks after it (proc(5)).
    package static var startTimeSeconds: Double? {
        guard let stat = ProcFile.read("/proc/self/stat"), let kernel = ProcFile.read("/proc/stat") else { return nil }
        return startTimeSeconds(stat: stat, kernel: kernel, ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))))
    }

    static func startTimeSeconds(stat: String, kernel: String, ticksPerSecond: Double) -> Double? {
        // The second field is the program's name in parentheses and may hold anything: what counts begins after it.
        guard let nameEnd = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: nameEnd)...].split(separator: " ")
        guard fields.count > 19, let ticks = Double(fields[19]) else { return nil }
        guard let line = kernel.split(separator: "\n").first(where: { $0.hasPrefix("btime ") }),
            let boot = Double(line.dropFirst("btime ".count))
        else { return nil }
        return boot + ticks / ticksPerSecond
    }
}

/// Files of procfs. They tell no size, so they are read to their end.
enum ProcFile {
    /// `/proc/stat` is longest: a line a processor and all interrupts.
    private static let limitBytes = 1 << 20

    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        let page = UnsafeMutableRawBufferPointer.allocate(byteCount: 16384, alignment: 16)
        defer { page.deallocate() }
        while content.count < limitBytes {
            let count = Glibc.read(descriptor, page.baseAddress, page.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { break }
            content += page.prefix(count)
        }
        return String(decoding: content, as: UTF8.self)
    }
}
