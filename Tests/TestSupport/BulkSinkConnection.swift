import CISAL
import Glibc
import HTTPMessage

/// One connection of a sink: requests one after another, bodies consumed as they arrive.
final class BulkSinkConnection {
    var output: [UInt8] = []
    var delayed: [(dueNanoseconds: Int, bytes: [UInt8])] = []
    private(set) var isClosing = false
    private let sink: BulkSink
    private var head: [UInt8] = []
    private var request: Request?
    /// The number to journal with the status of the answer.
    private var journaled: Substring?

    private struct Request {
        var method = ""
        var path = ""
        var query = ""
        var remainingBytes = 0
        var chunks: HTTPBodyScanner?
        var isGzip = false
        var isClosing = false
        var compressed: [UInt8] = []
        var bulk: BulkBodyCounter?
        var faultStatus: Int?
        var isHung = false

        var isWhole: Bool { chunks?.isComplete ?? (remainingBytes == 0) }
    }

    init(_ sink: BulkSink) { self.sink = sink }

    func receive(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty && !isClosing {
            if request == nil {
                rest = receiveHead(rest)
            } else if request?.chunks != nil {
                rest = receiveChunks(rest)
            } else {
                let count = min(rest.count, request?.remainingBytes ?? 0)
                request?.remainingBytes -= count
                receiveBody(UnsafeRawBufferPointer(rebasing: rest[0..<count]))
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
            if !isClosing, request?.isWhole == true { answer() }
        }
    }

    /// Takes bytes up to the end of the head; the rest is returned.
    private func receiveHead(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let before = head.count
        head.append(contentsOf: bytes)
        let end = head.withUnsafeBytes { all -> Int? in
            guard let base = all.baseAddress, let found = memmem(base, all.count, "\r\n\r\n", 4) else { return nil }
            return base.distance(to: UnsafeRawPointer(found))
        }
        guard let end else {
            if head.count > 1 << 20 { isClosing = true }
            return UnsafeRawBufferPointer(rebasing: bytes[bytes.count...])
        }
        parseHead(String(decoding: head[0..<end], as: UTF8.self))
        head.removeAll(keepingCapacity: true)
        return UnsafeRawBufferPointer(rebasing: bytes[(end + 4 - before)...])
    }

    private func parseHead(_ text: String) {
        var lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let start = lines.removeFirst().split(separator: " ")
        guard start.count == 3 else { return refuse("400 Bad Request") }
        var parsed = Request(method: String(start[0]))
        parsed.isClosing = start[2] == "HTTP/1.0"
        let target = start[1].split(separator: "?", maxSplits: 1)
        parsed.path = String(target.first ?? "/")
        parsed.query = target.count > 1 ? String(target[1]) : ""
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].lowercased()
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            switch name {
            case "content-length": parsed.remainingBytes = Int(value) ?? 0
            case "transfer-encoding": parsed.chunks = HTTPBodyScanner(framing: .chunked)
            case "content-encoding": parsed.isGzip = value == "gzip"
            case "connection": parsed.isClosing = value.lowercased() == "close"
            case "expect": output += Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
            default: break
            }
        }
        switch parsed.path.hasPrefix("/_sink/") ? nil : sink.outage.withLock({ SinkOutage.next(&$0) }) {
        case .drop: isClosing = true
        case .hang: parsed.isHung = true
        case .status(let status): parsed.faultStatus = status
        case nil: if parsed.path.hasSuffix("/_bulk") { startBulk(&parsed) }
        }
        request = parsed
    }

    /// Takes what belongs to the body; the rest is returned.
    private func receiveChunks(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var position = 0
        while true {
            guard let step = try? request?.chunks?.next(in: bytes, at: &position) else {
                refuse("400 Bad Request")
                return UnsafeRawBufferPointer(rebasing: bytes[bytes.count...])
            }
            switch step {
            case .content(let range): receiveBody(UnsafeRawBufferPointer(rebasing: bytes[range]))
            case .needsMoreBytes, .complete: return UnsafeRawBufferPointer(rebasing: bytes[position...])
            }
        }
    }

    private func startBulk(_ parsed: inout Request) {
        if let fault = sink.options.requestFault,
            sink.requestSequence.add(1, ordering: .relaxed).newValue % fault.every == 0
        {
            parsed.faultStatus = fault.status
            return
        }
        let folders = parsed.path.split(separator: "/")
        parsed.bulk = BulkBodyCounter(
            pathIndex: folders.count > 1 ? Array(folders[0].utf8) : [], isShort: parsed.query.contains("filter_path="),
            isRecording: sink.options.isRecording || sink.options.recordPath != nil, fault: sink.options.itemFault,
            sink: sink)
    }

    private func receiveBody(_ bytes: UnsafeRawBufferPointer) {
        let isBulk = request?.bulk != nil
        if request?.isGzip == true {
            request?.compressed.append(contentsOf: bytes)
        } else {
            request?.bulk?.consume(bytes)
        }
        guard isBulk else { return }
        let now = monotonicNanoseconds()
        sink.counts.withLock {
            if $0.firstBulkNanoseconds == 0 { $0.firstBulkNanoseconds = now }
            $0.lastBulkNanoseconds = now
            $0.bulkBodyBytes += bytes.count
        }
    }

    private func answer() {
        guard var done = request else { return }
        request = nil
        if done.isHung { return }
        if done.isClosing { isClosing = true }
        journaled = sink.isJournaling ? Self.journalNumber(done.query) : nil
        if let status = done.faultStatus {
            let isBulk = done.path.hasSuffix("/_bulk")
            sink.counts.withLock { if isBulk { $0.bulkRequests += 1 } else { $0.otherRequests += 1 } }
            let type = BulkBodyCounter.errorType(status)
            return respond(
                "\(status) Refused", Array("{\"error\":{\"type\":\"\(type)\"},\"status\":\(status)}".utf8), isBulk: true
            )
        }
        if done.bulk != nil { return answerBulk(&done) }
        sink.counts.withLock { $0.otherRequests += 1 }
        if done.method == "PUT" || done.method == "POST", let answer = documentAnswer(done.path) {
            return respond("201 Created", Array(answer.utf8))
        }
        respond(
            "200 OK", Array(otherAnswer(done.method, done.path, done.query).utf8), withoutBody: done.method == "HEAD")
    }

    /// The digits of a member `k=N` of a query.
    private static func journalNumber(_ query: String) -> Substring? {
        for member in query.split(separator: "&") where member.hasPrefix("k=") { return member.dropFirst(2) }
        return nil
    }

    /// The answer to writing one document; nil for another path.
    private func documentAnswer(_ path: String) -> String? {
        let parts = path.split(separator: "/")
        guard parts.count >= 2, parts[1] == "_doc" || parts[1] == "_create" else { return nil }
        let number = sink.faultSequence.add(1, ordering: .relaxed).newValue
        let id = parts.count > 2 ? String(parts[2]) : "auto-\(number)"
        return """
            {"_index":"\(parts[0])","_id":"\(id)","_version":1,"result":"created",\
            "_shards":{"total":1,"successful":1,"failed":0},"_seq_no":\(number),"_primary_term":1}
            """
    }

    private func answerBulk(_ done: inout Request) {
        if done.isGzip {
            var count = 0
            guard let plain = millrace_gunzip(done.compressed, done.compressed.count, 1 << 30, &count) else {
                return respond("400 Bad Request", Array("{\"error\":\"not gzip\",\"status\":400}".utf8))
            }
            done.bulk?.consume(UnsafeRawBufferPointer(start: plain, count: count))
            free(plain)
        }
        guard let bulk = done.bulk, bulk.isComplete else {
            let reason = "The bulk request must be terminated by a newline [\\\\n]"
            return respond(
                "400 Bad Request",
                Array(
                    "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"\(reason)\"},\"status\":400}".utf8
                ))
        }
        sink.counts.withLock {
            $0.bulkRequests += 1
            $0.documents += bulk.documentCount
            $0.rejected += bulk.rejectedCount
        }
        if !bulk.records.isEmpty { sink.record(bulk.records) }
        sink.wake()
        var body = Array("{\"took\":1,\"errors\":\(bulk.rejectedCount > 0),\"items\":[".utf8)
        body += bulk.items
        body += Array("]}".utf8)
        respond("200 OK", body, isBulk: true)
    }

    private func respond(_ status: String, _ body: [UInt8], withoutBody: Bool = false, isBulk: Bool = false) {
        if let number = journaled {
            journaled = nil
            sink.journal(number, status: Int(status.prefix(3)) ?? 0)
        }
        var bytes = Array(
            ("HTTP/1.1 \(status)\r\ncontent-type: application/json; charset=UTF-8\r\n"
                + "content-length: \(body.count)\r\n\r\n").utf8)
        if !withoutBody { bytes += body }
        if isBulk && sink.options.delayMilliseconds > 0 {
            let due = monotonicNanoseconds() + sink.options.delayMilliseconds * 1_000_000
            delayed.append((due, bytes))
        } else {
            output += bytes
        }
    }

    private func refuse(_ status: String) {
        respond(status, [])
        isClosing = true
    }

    private func otherAnswer(_ method: String, _ path: String, _ query: String) -> String {
        switch path {
        case "/":
            let distribution =
                sink.options.distribution.isEmpty ? "" : "\"distribution\":\"\(sink.options.distribution)\","
            return """
                {"name":"sink","cluster_name":"sink","cluster_uuid":"c2lua3NpbmtzaW5rc2luaw","version":{\(distribution)\
                "number":"\(sink.options.versionNumber)","build_type":"tar","build_hash":"0","build_snapshot":false,\
                "lucene_version":"9.12.3","minimum_wire_compatibility_version":"7.10.0",\
                "minimum_index_compatibility_version":"7.0.0"},\
                "tagline":"The OpenSearch Project: https://opensearch.org/"}
                """
        case "/_sink/counts": return sink.snapshot.json
        case "/_sink/outage":
            let outage = SinkOutage(query: query)
            guard outage != nil || query == "kind=none" else { return "{\"error\":\"no such outage\"}" }
            sink.setOutage(outage)
            return "{\"acknowledged\":true}"
        case "/_sink/reset":
            sink.reset()
            return "{}"
        case "/_cluster/settings": return "{\"persistent\":{},\"transient\":{},\"defaults\":{}}"
        case _ where path.hasSuffix("/_count"): return "{\"count\":\(sink.snapshot.documents)}"
        default: return "{\"acknowledged\":true}"
        }
    }
}
