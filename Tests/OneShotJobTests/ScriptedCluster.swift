import ClusterClient
import JSONBytes

/// A cluster of a few lines: answers by method and path, and keeps what it was asked.
final class ScriptedCluster {
    struct Answer {
        var status: Int
        var body: String

        init(_ status: Int, _ body: String) {
            self.status = status
            self.body = body
        }
    }

    private(set) var requests: [String] = []
    private(set) var bodies: [JSONValue] = []
    private var answers: [String: [Answer]] = [:]

    /// The answers to a request one after the other; the last one again and again. An answer of none is 404.
    func on(_ request: String, _ answers: Answer...) { self.answers[request] = answers }

    func send(_ request: ClusterRequest) throws(ClusterError) -> ClusterResponse {
        let line = "\(request.method) \(request.path)"
        requests.append(line)
        if let body = request.body {
            let bytes = body.slices.flatMap { Array($0) }
            bodies.append((try? JSONValue.parse(bytes)) ?? .string(String(decoding: bytes, as: UTF8.self)))
        }
        guard var queue = answers[line], let next = queue.first else {
            return ClusterResponse(status: 404, body: Array(#"{"error":{"reason":"no such thing"}}"#.utf8))
        }
        if queue.count > 1 {
            queue.removeFirst()
            answers[line] = queue
        }
        return ClusterResponse(status: next.status, body: Array(next.body.utf8))
    }
}

func json(_ text: String) throws -> JSONValue { try JSONValue.parse(Array(text.utf8)) }
