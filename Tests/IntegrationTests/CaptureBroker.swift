import Foundation
import TestSupport
import Testing
import TrafficLog

/// The real brokers of these tests, each a process on this machine: halted, killed and started again as it ran.
struct CaptureBroker {
    let bootstrap: String
    /// Folder of their state: `broker-N/pid`, and `env` with addresses and certificates as `NAME=value`.
    private let folder: String

    /// The one whose outages are tested.
    init() throws { try self.init(bootstrap: TestEnvironment.kafka, folder: TestEnvironment.kafkaFolder) }

    /// Three of them.
    static func cluster() throws -> CaptureBroker {
        let folder = try #require(TestEnvironment.kafkaClusterFolder)
        return try CaptureBroker(bootstrap: setting("KAFKA_BOOTSTRAP", in: folder), folder: folder)
    }

    private init(bootstrap: String?, folder: String?) throws {
        self.bootstrap = try #require(bootstrap)
        self.folder = try #require(folder)
    }

    /// An entry of the file `env` in a folder of brokers; nil when there is none.
    static func setting(_ name: String, in folder: String?) -> String? {
        guard let folder, let bytes = try? FileTree.read(folder + "/env") else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name + "=") }
        return line.map { String($0.dropFirst(name.count + 1)) }
    }

    func setting(_ name: String) throws -> String { try #require(Self.setting(name, in: folder), "\(name)") }

    /// Makes a topic of its own and returns its name.
    func makeTopic(
        named label: String, partitions: Int32 = 3, replicas: Int32 = 1, settings: [(String, String)] = []
    ) throws -> String {
        let name = "millrace-\(label)-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        var options = TrafficLogAddress.Options()
        options.topicCreation = .init(
            partitionCount: partitions, replicationFactor: replicas,
            properties: settings.map { .init(name: $0.0, value: $0.1) })
        try TrafficLogAddress.parse("kafka://\(bootstrap)/\(name)").openWriter(options).close()
        return name
    }

    /// Makes a topic of its own and returns its log's address.
    func makeTopic(_ label: String, partitions: Int32 = 3, replicas: Int32 = 1) throws -> String {
        "kafka://\(bootstrap)/\(try makeTopic(named: label, partitions: partitions, replicas: replicas))"
    }

    // MARK: Outages

    private func pidFile(_ number: Int) -> String { "\(folder)/broker-\(number)/pid" }

    private func processID(_ number: Int) throws -> pid_t {
        let text = String(decoding: try FileTree.read(pidFile(number)), as: UTF8.self)
        let process = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try #require(process > 1)
        return process
    }

    /// Its connections stay open and it answers nothing.
    func halt() throws {
        let process = try processID(1)
        try #require(Glibc.kill(process, SIGSTOP) == 0)
        // The state changes when its threads have been caught.
        while Self.state(process) != "T" { usleep(1000) }
    }

    func goOn() {
        guard let process = try? processID(1) else { return }
        Glibc.kill(process, SIGCONT)
    }

    /// kill -9. `restart` starts it again.
    func kill(_ number: Int = 1) throws -> Killed {
        let process = try processID(number)
        let killed = try Killed(process, pidFile: pidFile(number))
        try #require(Glibc.kill(process, SIGKILL) == 0)
        while let state = Self.state(process), state != "Z" { usleep(1000) }
        return killed
    }

    /// "1234 (java) T ...": one letter; nil when there is no such process.
    static func state(_ process: pid_t) -> Character? {
        guard let bytes = try? FileTree.read("/proc/\(process)/stat") else { return nil }
        return String(decoding: bytes, as: UTF8.self).components(separatedBy: ") ").last?.first
    }

    /// How a broker was started: enough to do it again, also from within another root.
    final class Killed {
        private let words: [String]
        private let variables: [String]
        /// Its root folder; nil when that is this process's too.
        private let root: Int32?
        private let pidFile: String
        private var isRestarted = false

        init(_ process: pid_t, pidFile: String) throws {
            func strings(_ name: String) throws -> [String] {
                let bytes = try FileTree.read("/proc/\(process)/\(name)")
                return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().map {
                    String(decoding: $0, as: UTF8.self)
                }
            }
            words = try strings("cmdline")
            variables = try strings("environ").filter { !$0.isEmpty }
            self.pidFile = pidFile
            var (theirs, ours) = (Glibc.stat(), Glibc.stat())
            try #require(stat("/proc/\(process)/root/.", &theirs) == 0 && stat("/", &ours) == 0)
            root =
                theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev
                ? nil : open("/proc/\(process)/root", O_RDONLY | O_DIRECTORY)
        }

        deinit { if let root { close(root) } }

        /// Starts it; does not wait until it serves. A second call does nothing.
        func restart(_ scratch: TemporaryFolder) throws {
            guard !isRestarted else { return }
            isRestarted = true
            let chroot = root.map { ["chroot", "/proc/self/fd/\($0)"] } ?? []
            // The number that the shell notes stays the process's while the words before the last program replace each
            // other.
            let script = "\"$@\" </dev/null & echo $! >'\(pidFile)'"
            let process = try ChildProcess(
                ["setsid", "sh", "-c", script, "sh"] + chroot + ["env", "-i"] + variables + words,
                folder: scratch.path, name: "broker")
            try #require(process.wait() == .exited(0), "\(process.errorText)")
        }
    }
}
