import Foundation
import JSONBytes
import TestSupport

/// Clients of a real cluster, each on one connection that it keeps, one request at a time: documents are indexed with
/// and without ids, alone and in bulks, updated, scripted, deleted and read.
///
/// What a request does must not depend on what another connection does at the same moment, for only each connection's
/// own order is replayed for sure. So a client touches only its own documents. Every fourth client has an index of its
/// own, which it creates, refreshes and searches; the others share indices, of which they read by id. Everybody searches
/// an index that nobody writes.
final class ReplayLoad: Sendable {
    struct Settings {
        var clientCount = 32
        var operationCount = 5000
        var seed: UInt64 = 1
        /// Begins the names of all indices.
        var label = "e2e"
        /// Of all clients together; nil for as fast as they are answered.
        var perSecond: Double?

        var indexPattern: String { label + "-*" }
    }

    /// What the clients did.
    struct Done: Sendable {
        /// Requests by method and status, as "PUT 201".
        var statuses: [String: Int] = [:]
        /// Items of bulks by status.
        var itemStatuses: [Int: Int] = [:]
        var requestCount = 0
        /// Documents whose ids the source made.
        var generatedCount = 0
        /// Reads of the document that is different in the target.
        var oddReads = 0
        var failures: [String] = []
    }

    static let sharedIndexCount = 3
    /// In the index that nobody writes.
    static let fixedDocumentCount = 50

    private let done: [ClientThread]

    /// A client and what it did; the thread's until it ends.
    // Sound: read only after `group` says that the thread has ended.
    private final class ClientThread: @unchecked Sendable {
        let group = DispatchGroup()
        var result = Done()
    }

    /// Starts.
    init(_ settings: Settings, port: Int) throws {
        var made: [ReplayClient] = []
        for number in 0..<settings.clientCount {
            made.append(try ReplayClient(number, settings, connection: WireConnection(port: port)))
        }
        let clients = made
        done = made.map { _ in ClientThread() }
        let each = settings.operationCount / settings.clientCount
        for (thread, client) in zip(done, clients) {
            thread.group.enter()
            nonisolated(unsafe) var client = client
            Thread.detachNewThread {
                client.run(each)
                thread.result = client.done
                thread.group.leave()
            }
        }
    }

    /// Waits until every client has done its share.
    func wait() -> Done {
        var sum = Done()
        for thread in done {
            thread.group.wait()
            let result = thread.result
            sum.statuses.merge(result.statuses, uniquingKeysWith: +)
            sum.itemStatuses.merge(result.itemStatuses, uniquingKeysWith: +)
            sum.requestCount += result.requestCount
            sum.generatedCount += result.generatedCount
            sum.oddReads += result.oddReads
            sum.failures += result.failures
        }
        return sum
    }

    /// The indices that are there before anything is captured, on a cluster; the way metadata comes first in a
    /// migration. `isOdd` makes one document of the fixed index different.
    static func prepare(_ base: String, _ settings: Settings, isOdd: Bool) throws {
        try RestCall.send("DELETE", base, "/" + settings.indexPattern)
        for name in (0..<sharedIndexCount).map({ "\(settings.label)-shared-\($0)" }) + ["\(settings.label)-fixed"] {
            let made = try RestCall.send("PUT", base, "/" + name, indexBody)
            guard made.status == 200 else {
                throw RestCall.Failure(description: "\(name): \(String(decoding: made.body, as: UTF8.self))")
            }
        }
        var bulk = ""
        for number in 0..<fixedDocumentCount {
            let text = isOdd && number == 0 ? "another" : "fixed text \(number)"
            bulk += "{\"index\":{\"_id\":\"f\(number)\"}}\n{\"n\":\(number),\"text\":\"\(text)\"}\n"
        }
        let filled = try RestCall.send("POST", base, "/\(settings.label)-fixed/_bulk?refresh=true", bulk)
        guard filled.status == 200 else {
            throw RestCall.Failure(description: String(decoding: filled.body, as: UTF8.self))
        }
    }

    /// Versions of deleted documents are remembered for longer than any test lasts, so that they come out the same.
    static let indexBody = """
        {"settings":{"number_of_shards":2,"number_of_replicas":0,"gc_deletes":"1h","refresh_interval":"-1"},\
        "mappings":{"properties":{"n":{"type":"long"},"client":{"type":"keyword"},"text":{"type":"text"}}}}
        """
}

/// One client. Used by one thread at a time.
private struct ReplayClient {
    let name: String
    let label: String
    let index: String
    let ownsIndex: Bool
    let connection: WireConnection
    let pauseSeconds: Double
    var random: SeededGenerator
    var done = ReplayLoad.Done()
    /// Documents of it that exist.
    var ids: [String] = []
    var idCount = 0

    init(_ number: Int, _ settings: ReplayLoad.Settings, connection: WireConnection) throws {
        name = "c\(number)"
        label = settings.label
        ownsIndex = number % 4 == 0
        index =
            ownsIndex
            ? "\(label)-own-\(number)" : "\(label)-shared-\(number % ReplayLoad.sharedIndexCount)"
        self.connection = connection
        pauseSeconds = settings.perSecond.map { Double(settings.clientCount) / $0 } ?? 0
        random = SeededGenerator(seed: settings.seed &* 1_000_003 &+ UInt64(number))
    }

    mutating func run(_ count: Int) {
        let start = ProcessInfo.processInfo.systemUptime
        if ownsIndex {
            send("PUT", "/\(index)", ReplayLoad.indexBody)
            readFixed(0)
        }
        for number in 0..<count {
            let early = start + pauseSeconds * Double(number) - ProcessInfo.processInfo.systemUptime
            if early > 0 { usleep(UInt32(early * 1_000_000)) }
            step()
            if done.failures.count > 3 { return }
        }
    }

    private mutating func step() {
        switch random.below(100) {
        case 0..<20: indexOne()
        case 20..<34: indexWithoutID()
        case 34..<44: bulk()
        case 44..<54: bulkWithoutIDs()
        case 54..<66: update()
        case 66..<74: delete()
        case 74..<77: createAgain()
        default: read()
        }
    }

    // MARK: Writes

    private mutating func newID() -> String {
        idCount += 1
        // Characters that paths and bulk lines spell differently.
        return random.below(10) == 0 ? "\(name) é/\(idCount)" : "\(name)-\(idCount)"
    }

    private mutating func knownID() -> String? { ids.isEmpty ? nil : ids[random.below(ids.count)] }

    private mutating func document() -> String {
        let words = random.below(20) == 0 ? 2000 : 3 + random.below(40)
        let text = (0..<words).map { _ in ["lorem", "ipsum", "dolor", "sit", "amét", "\\\"x\\\""][random.below(6)] }
        return """
            {"client":"\(name)","n":\(random.below(1_000_000)),"ratio":1.\(random.below(1000))0,"tags":["a",null,"b"],\
            "text":"\(text.joined(separator: " "))"}
            """
    }

    private mutating func indexOne() {
        let id = random.below(3) == 0 ? knownID() ?? newID() : newID()
        let answer = send("PUT", "/\(index)/_doc/\(RestCall.encode(id))", document())
        if answer?.status == 201 { ids.append(id) }
    }

    private mutating func indexWithoutID() {
        // Whoever asks for gzip does not read the id here; its answer has to be read by the replayer all the same.
        let isPacked = random.below(4) == 0
        let refresh = random.below(20) == 0 ? "?refresh=true" : ""
        let answer = send(
            "POST", "/\(index)/_doc\(refresh)", document(), headers: isPacked ? "Accept-Encoding: gzip\r\n" : "")
        if answer?.status == 201 { done.generatedCount += 1 }
        if !isPacked, let body = answer?.body, let id = try? JSONValue.parse(body)["_id"]?.stringValue {
            ids.append(id)
        }
    }

    private mutating func bulk() {
        var body = ""
        var touched: Set<String> = []
        for _ in 0..<(2 + random.below(12)) {
            let id = random.below(2) == 0 ? knownID() ?? newID() : newID()
            guard touched.insert(id).inserted else { continue }
            let action = "{\"_index\":\"\(index)\",\"_id\":\"\(id)\"}}\n"
            switch random.below(10) {
            case 0..<5: body += "{\"index\":" + action + document() + "\n"
            case 5..<7: body += "{\"create\":" + action + document() + "\n"
            case 7..<9: body += "{\"update\":" + action + "{\"doc\":\(document()),\"doc_as_upsert\":true}\n"
            default: body += "{\"delete\":" + action
            }
        }
        take(send("POST", random.below(2) == 0 ? "/_bulk" : "/\(index)/_bulk", body, type: "application/x-ndjson"))
    }

    private mutating func bulkWithoutIDs() {
        var body = ""
        let namesIndex = random.below(2) == 0
        let count = 1 + random.below(12)
        for _ in 0..<count {
            let action = random.below(2) == 0 ? "index" : "create"
            body += "{\"\(action)\":{\(namesIndex ? "\"_index\":\"\(index)\"" : "")}}\n" + document() + "\n"
        }
        done.generatedCount += count
        let isPacked = random.below(4) == 0
        let answer = send(
            "POST", namesIndex ? "/_bulk" : "/\(index)/_bulk", body, type: "application/x-ndjson",
            headers: isPacked ? "Accept-Encoding: gzip\r\n" : "")
        if !isPacked { take(answer) }
    }

    /// Learns from the answer to a bulk which documents there are.
    private mutating func take(_ answer: WireMessage?) {
        guard let answer, answer.status == 200, let items = try? JSONValue.parse(answer.body)["items"]?.arrayValue
        else {
            return
        }
        for item in items {
            guard let (_, entry) = item.objectValue?.first.map({ ($0.key, $0.value) }),
                let id = entry["_id"]?.stringValue, let status = entry["status"]?.intValue
            else { continue }
            done.itemStatuses[Int(status), default: 0] += 1
            if status == 201 { ids.append(id) }
            if entry["result"]?.stringValue == "deleted" { ids.removeAll { $0 == id } }
        }
    }

    private mutating func update() {
        guard let id = random.below(10) == 0 ? newID() : knownID() else { return indexOne() }
        // A script that adds shows whether something was done twice.
        let body =
            random.below(2) == 0
            ? "{\"script\":{\"source\":\"ctx._source.n += params.by\",\"params\":{\"by\":\(1 + random.below(9))}}}"
            : "{\"doc\":{\"updated\":\(random.below(1000))}}"
        send("POST", "/\(index)/_update/\(RestCall.encode(id))", body)
    }

    private mutating func delete() {
        guard let id = random.below(10) == 0 ? newID() : knownID() else { return indexOne() }
        send("DELETE", "/\(index)/_doc/\(RestCall.encode(id))")
        ids.removeAll { $0 == id }
    }

    /// The source answers 409.
    private mutating func createAgain() {
        guard let id = knownID() else { return indexOne() }
        send("PUT", "/\(index)/_create/\(RestCall.encode(id))", document())
    }

    // MARK: Reads

    private mutating func read() {
        switch random.below(6) {
        case 0, 1:
            let id = knownID() ?? newID()
            send("GET", "/\(index)/_doc/\(RestCall.encode(id))")
        case 2:
            let wanted = (0..<3).compactMap { _ in knownID() }.map { "\"\($0)\"" }.joined(separator: ",")
            send("POST", "/\(index)/_mget", "{\"ids\":[\(wanted.isEmpty ? "\"none\"" : wanted)]}")
        case 3:
            readFixed(random.below(ReplayLoad.fixedDocumentCount))
        case 4 where ownsIndex:
            send("POST", "/\(index)/_refresh")
            send(
                "POST", "/\(index)/_search",
                "{\"size\":20,\"sort\":[{\"n\":\"asc\"}],\"query\":{\"range\":{\"n\":{\"gte\":\(random.below(900_000))}}}}"
            )
        default:
            // The odd document is the first one.
            let from = 1 + random.below(ReplayLoad.fixedDocumentCount - 1)
            send(
                "GET", "/\(label)-fixed/_search",
                "{\"query\":{\"range\":{\"n\":{\"gte\":\(from)}}},\"sort\":[{\"n\":\"desc\"}]}")
        }
    }

    private mutating func readFixed(_ number: Int) {
        if number == 0 { done.oddReads += 1 }
        send("GET", "/\(label)-fixed/_doc/f\(number)")
    }

    // MARK: The wire

    @discardableResult
    private mutating func send(
        _ method: String, _ path: String, _ body: String = "", type: String = "application/json", headers: String = ""
    ) -> WireMessage? {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: source\r\nUser-Agent: load/1\r\n" + headers
        if !body.isEmpty { head += "Content-Type: \(type)\r\n" }
        var bytes = Array(body.utf8)
        if !body.isEmpty, random.below(6) == 0 {
            head += "Transfer-Encoding: chunked\r\n"
            let half = bytes.count / 2
            bytes = [bytes[..<half], bytes[half...]].filter { !$0.isEmpty }.flatMap { chunk in
                Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + [0x0D, 0x0A]
            }
            bytes += Array("0\r\n\r\n".utf8)
        } else if !body.isEmpty || method != "GET" {
            head += "Content-Length: \(bytes.count)\r\n"
        }
        done.requestCount += 1
        guard let answer = connection.exchange(Array((head + "\r\n").utf8) + bytes) else {
            done.failures.append("\(name): \(method) \(path): the connection ended")
            return nil
        }
        done.statuses["\(method) \(answer.status)", default: 0] += 1
        if answer.status == 400 || answer.status >= 429 {
            let text = String(decoding: answer.body.prefix(300), as: UTF8.self)
            done.failures.append("\(method) \(path): \(answer.status) \(text)")
        }
        return answer
    }
}
