import Glibc
import TestSupport

/// `sink`: the peer of throughput measurements, until SIGTERM or SIGINT; then its counts are printed as JSON.
func runSink(arguments: [String]) throws {
    let arguments = try BenchmarkArguments(arguments)
    let listen = arguments.text("listen") ?? "127.0.0.1:0"
    guard listen.hasPrefix("127.0.0.1:"), let port = UInt16(listen.dropFirst(10)) else {
        throw BenchmarkArguments.Mistake(description: "--listen \(listen): only 127.0.0.1:PORT")
    }
    var options = SinkOptions()
    options.port = port
    options.threadCount = try arguments.int("threads", default: 1)
    options.recordPath = arguments.text("record")
    options.journalPath = arguments.text("journal")
    options.delayMilliseconds = try arguments.int("slow-ms", default: 0)
    options.versionNumber = arguments.text("version") ?? options.versionNumber
    options.itemFault = try fault(arguments, "status-every")
    options.requestFault = try fault(arguments, "request-status-every")

    // Blocked before the threads start, so that only sigwait takes them.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    let sink = try BulkSink(options)
    print(sink.url)
    fflush(nil)
    var signal: Int32 = 0
    sigwait(&signals, &signal)
    sink.stop()
    print(sink.snapshot.json)
}

private func fault(_ arguments: BenchmarkArguments, _ name: String) throws(BenchmarkArguments.Mistake) -> SinkFault? {
    guard let text = arguments.text(name) else { return nil }
    guard let fault = SinkFault(text) else {
        throw BenchmarkArguments.Mistake(description: "--\(name) \(text): not N:STATUS")
    }
    return fault
}
