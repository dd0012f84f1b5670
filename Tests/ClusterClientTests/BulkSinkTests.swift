import JSONBytes
import TestSupport
import Testing

@testable import ClusterClient

/// What the stand-in for a target does beyond accepting bulks, as measurements and outage scenarios rely on it.
@Suite struct BulkSinkTests {
    private typealias Message = TargetHarness.Message

    private func withSink(
        _ options: SinkOptions = SinkOptions(), timeouts: ExchangeTimeouts = ExchangeTimeouts(),
        _ body: (BulkSink, TargetHarness) throws -> Void
    ) throws {
        let sink = try BulkSink(options)
        defer { sink.stop() }
        try TargetHarness.run(
            change: { $0.url = try ClusterURL(sink.url) }, timeouts: timeouts, script: { _ in },
            { try body(sink, $0) })
    }

    @Test func chunkedBulksAndSingleDocuments() throws {
        try withSink { sink, harness in
            let bulk =
                "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n{\"delete\":{\"_index\":\"a\",\"_id\":\"2\"}}\n"
            let chunks =
                "10;x=y\r\n\(bulk.prefix(16))\r\n\(String(bulk.utf8.count - 16, radix: 16))\r\n"
                + "\(bulk.dropFirst(16))\r\n0\r\n\r\n"
            for cut in 0..<chunks.utf8.count {
                let outcome = TargetHarness.Outcome()
                harness.onLoop { connections in
                    let memory = OwnedBytes(count: chunks.utf8.count)
                    memory.bytes.copyBytes(from: chunks.utf8)
                    let head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                    let body = [memory.bytes[..<cut], memory.bytes[cut...]].map {
                        UnsafeRawBufferPointer(rebasing: $0)
                    }
                    connections.send(
                        RawRequest(method: .post, head: Array(head.utf8), body: body, owner: memory)
                    ) { outcome.set($0) }
                }
                let answer = try JSONValue.parse(outcome.wait().get().body)
                #expect(answer["errors"]?.boolValue == false)
            }
            #expect(sink.snapshot.documents == chunks.utf8.count)
            let written = harness.send(Message(method: "PUT", target: "/i/_doc/7?refresh", body: Array("{}".utf8)))
            #expect(written.status == 201)
            #expect(try JSONValue.parse(written.get().body)["_id"]?.stringValue == "7")
            #expect(harness.onLoop { $0.openCount } == 1)
        }
    }

    @Test func outagesAndTheJournal() throws {
        let folder = try TemporaryFolder()
        var options = SinkOptions()
        options.journalPath = folder.path("journal")
        var timeouts = ExchangeTimeouts()
        timeouts.firstByte = .milliseconds(50)
        try withSink(options, timeouts: timeouts) { sink, harness in
            func write(_ number: Int) -> Result<RawResponse, ClusterError> {
                harness.send(Message(method: "PUT", target: "/i/_doc/\(number)?k=\(number)", body: Array("{}".utf8)))
            }
            #expect(write(1).status == 201)
            #expect(harness.get("/_sink/outage?kind=503&count=2").status == 200)
            #expect(write(2).status == 503)
            #expect(write(3).status == 503)
            #expect(write(4).status == 201)
            sink.setOutage(SinkOutage(.drop))
            #expect(write(5).error?.code == .connectionLost)
            #expect(harness.get("/_sink/outage?kind=none").status == 200)
            #expect(write(6).status == 201)
            #expect(harness.get("/_sink/outage?kind=hang&count=1").status == 200)
            #expect(write(7).error?.code == .responseTimedOut)
            #expect(write(8).status == 201)
            sink.setOutage(SinkOutage(.status(429), seconds: 0))
            #expect(write(9).status == 201)
            #expect(harness.get("/_sink/outage?kind=odd").text?.contains("no such outage") == true)
        }
        let journal = String(decoding: try FileTree.read(folder.path("journal")), as: UTF8.self)
        #expect(journal == "1\t201\n2\t503\n3\t503\n4\t201\n6\t201\n8\t201\n9\t201\n")
    }
}
