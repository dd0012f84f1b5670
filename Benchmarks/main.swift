import Glibc

/// A benchmark by the name it is called with. A new one is one line here.
let benchmarks: [(name: String, summary: String, run: ([String]) throws -> Void)] = [
    (
        "make-snapshot", "--out DIR [--bytes 1.5GB] [--codec lz4|deflate] [--segments N] [--shards N] [--seed S] …",
        runMakeSnapshot
    ),
    ("documents", "[--bytes 1.5GB] [--seed S]: the same documents, a line each", runDocuments),
    (
        "sink",
        "--listen 127.0.0.1:PORT [--record FILE] [--journal FILE] [--status-every N:429] [--slow-ms N] [--threads N]",
        runSink
    ),
    ("machine", "[--json] [--bytes 400MB]", runMachineBenchmark),
    ("decode", "[--repository DIR --snapshot NAME] [--bytes 100MB] [--checksums]", runDecodeBenchmark),
    ("http-head", "[options]", runHTTPHeadBenchmark),
    (
        "target-session", "[--requests N] [--connections N] [--body 1MiB] [--slice 64KiB] [--rounds N] [--url URL]",
        runTargetSessionBenchmark
    ),
    ("transform", "[ROUNDS]: request heads and 1 MiB bulks through the replayer's rewriting", runTransformBenchmark),
    ("event-loop", "[ROUNDS [REQUESTS [CONNECTIONS]]]: echo and proxy beside raw epoll", runEventLoopBenchmark),
    ("tuple", "[ROUNDS]: encoding, comparing and compressing what the replayer records", runTupleBenchmark),
    ("log-read", "[--megabytes 200] [--kafka BROKER,…]: reading a traffic log as a group", runLogRead),
    ("log-member", "--log LOG?group=NAME [--instance ID]: a reader that says what happens to it", runLogMember),
    ("drain", "--port PORT (used by machine)", runDrain),
]

var arguments = Array(CommandLine.arguments.dropFirst())
guard let name = arguments.first, let benchmark = benchmarks.first(where: { $0.name == name }) else {
    complain("usage: millrace-bench NAME [options]\n")
    for benchmark in benchmarks { complain("  \(benchmark.name)  \(benchmark.summary)\n") }
    exit(64)
}
do {
    try benchmark.run(Array(arguments.dropFirst()))
} catch let mistake as BenchmarkArguments.Mistake {
    complain("millrace-bench \(name): \(mistake)\n")
    exit(64)
} catch {
    complain("millrace-bench \(name): \(error)\n")
    exit(70)
}
