import Foundation
import TestSupport

/// What the machine offers to these tests; what is not there switches the tests off that need it.
///
/// - MILLRACE_MILLRACED: the built program
/// - MILLRACE_BENCH: the built benchmarks, default `millrace-bench` beside it
/// - MILLRACE_OPENSEARCH_URL: an OpenSearch on this machine **whose indices may be deleted**
/// - MILLRACE_SOURCE_URL: an Elasticsearch or another OpenSearch on this machine **whose indices may be deleted**, to
///   migrate from
/// - MILLRACE_REPLAY_OPERATIONS: requests of the clients whose traffic is replayed, default 5000
/// - MILLRACE_KAFKA, MILLRACE_KAFKA_DIR: bootstrap address of one broker on this machine **that may be halted, killed
///   and started again, and whose topics may be made and filled**, and the folder of its state, with its process id in
///   `broker-1/pid`. Where its file `env` names addresses with logins and certificates, those are tested too
/// - MILLRACE_KAFKA_CLUSTER_DIR: the same folder of three brokers, of which one is killed
/// - MILLRACE_OUTAGE_SECONDS: how long a broker or a target is gone; without it as long as it takes until that is
///   noticed, and more
/// - MILLRACE_KILL_ROUNDS: how often capture, and replay, is killed for each log, default 6
/// - MILLRACE_CHURN_SECONDS: how long instances of a replayer come and go, default 40
/// - MILLRACE_LAG_FACTOR: how many times longer the logs are that a replayer's memory is measured with, default 1
/// - MILLRACE_FIXTURES: folder of unpacked fixtures, default `${XDG_CACHE_HOME:-~/.cache}/millrace-fixtures`, else the
///   archives under `Tests/Fixtures/repositories`
enum TestEnvironment {
    static let millraced = variable("MILLRACE_MILLRACED")
    static let openSearch = variable("MILLRACE_OPENSEARCH_URL")
    static let source = variable("MILLRACE_SOURCE_URL")
    static let replayOperationCount = variable("MILLRACE_REPLAY_OPERATIONS").flatMap { Int($0) } ?? 5000

    static let bench: String? = {
        if let path = variable("MILLRACE_BENCH") { return path }
        guard let millraced, let slash = millraced.lastIndex(of: "/") else { return nil }
        let path = millraced[..<slash] + "/millrace-bench"
        return access(String(path), X_OK) == 0 ? String(path) : nil
    }()

    /// The operator's tool, beside the program.
    static let millrace: String? = {
        guard let millraced, let slash = millraced.lastIndex(of: "/") else { return nil }
        let path = String(millraced[..<slash] + "/millrace")
        return access(path, X_OK) == 0 ? path : nil
    }()

    static let kafka = variable("MILLRACE_KAFKA")
    static let kafkaFolder = variable("MILLRACE_KAFKA_DIR")
    static let kafkaClusterFolder = variable("MILLRACE_KAFKA_CLUSTER_DIR")
    /// The reference project's records, in `MILLRACE_FIXTURES/traffic` or `shared/fixtures/traffic` beside the project.
    static let trafficFixtures: String? = {
        let project = (1...4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let shared = project.path + "/shared/fixtures/traffic"
        let folders = [variable("MILLRACE_FIXTURES").map { $0 + "/traffic" }, shared]
        return folders.compactMap { $0 }.first { access($0 + "/reference-small.ndjson.gz", R_OK) == 0 }
    }()
    static let outageSeconds = variable("MILLRACE_OUTAGE_SECONDS").flatMap { Double($0) }
    static let killRoundCount = variable("MILLRACE_KILL_ROUNDS").flatMap { Int($0) } ?? 6
    static let churnSeconds = variable("MILLRACE_CHURN_SECONDS").flatMap { Int($0) } ?? 40
    static let lagFactor = variable("MILLRACE_LAG_FACTOR").flatMap { Int($0) } ?? 1

    static var hasCapture: Bool { millraced != nil && millrace != nil }
    static var hasCaptureAndKafka: Bool { hasCapture && kafka != nil && kafkaFolder != nil }
    static var hasCaptureAndCluster: Bool { hasCapture && kafkaClusterFolder != nil }
    static var hasProgram: Bool { millraced != nil && bench != nil }
    static var hasTarget: Bool { millraced != nil && openSearch != nil }
    static var hasSourceAndTarget: Bool { hasCapture && source != nil && openSearch != nil }
    static var hasProgramAndTarget: Bool { hasProgram && hasTarget }

    static func variable(_ name: String) -> String? {
        guard let value = ProcessInfo.processInfo.environment[name], !value.isEmpty else { return nil }
        return value
    }

    /// The folder of a fixture, unpacked into `scratch` when only its archive is there; nil when neither is.
    static func fixture(_ name: String, scratch: String) throws -> String? {
        let cache = variable("XDG_CACHE_HOME") ?? (variable("HOME") ?? "") + "/.cache"
        let folder = (variable("MILLRACE_FIXTURES") ?? cache + "/millrace-fixtures") + "/" + name
        if access(folder + "/about.json", R_OK) == 0 { return folder }
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let archive = top.appendingPathComponent(
            "Fixtures/repositories/" + name.replacingOccurrences(of: "/", with: "_") + ".tar.xz")
        guard access(archive.path, R_OK) == 0 else { return nil }
        let tar = try ChildProcess(["tar", "-xJf", archive.path, "-C", scratch], folder: scratch, name: "tar")
        guard tar.wait() == .exited(0) else { return nil }
        return scratch + "/" + name
    }

    /// The words of a `millraced backfill` call; the coordinator's folder is made.
    static func backfill(
        repository: String, snapshot: String, target: String, coordinator: String, _ more: [String] = []
    ) throws -> [String] {
        try FileTree.makeFolder(coordinator)
        return [
            millraced ?? "millraced", "backfill", "--repository", repository, "--snapshot", snapshot, "--target",
            target,
            "--coordinator", "file://\(coordinator)", "--progress", "none", "--log-format", "json",
        ] + more
    }
}

/// `millraced` exit codes as documented.
enum ExitCode {
    static let done: Int32 = 0
    static let doneWithOmissions: Int32 = 3
    static let usage: Int32 = 64
    static let unreadable: Int32 = 65
    static let unavailable: Int32 = 69
}
