import ClusterClient

/// Sends bulk bodies to the target's `_bulk` endpoint through the cluster client.
final class ClusterBulkTransport: BulkTransport {
    private let client: ClusterClient

    /// Only what decides is asked for: the status of every item, and errors whole.
    private static let query = [("filter_path", "errors,items.*.status,items.*.error")]

    init(client: ClusterClient) {
        self.client = client
    }

    func sendBulk(index: String, body: BulkBody, completion: @escaping @Sendable (BulkAnswer) -> Void) {
        // An operation carries its document's id, so a repetition changes nothing.
        let request = ClusterRequest(
            "POST", "/\(PercentEncoding.segment(index))/_bulk", query: Self.query,
            contentType: "application/x-ndjson", body: ClusterRequestBody(slices: body.slices, owner: body),
            isRepeatable: true)
        client.send(request) { result in
            switch result {
            case .success(let response): completion(.response(status: response.status, body: response.body))
            case .failure(let error):
                completion(.failed(message: error.message, isRetryable: error.disposition == .retry))
            }
        }
    }
}
