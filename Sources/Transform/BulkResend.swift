import BulkFormat
import CSystem
import HTTPMessage
import JSONBytes

/// What becomes of one item of a bulk after the target answered.
package enum BulkItemVerdict: Equatable, Sendable {
    /// Done, by this sending or by an earlier one.
    case done
    /// The target may take it later.
    case retry
    /// The target will never take it.
    case refused
}

/// Tells items that are worth another sending from those that are not, by status and by the type of the error.
package enum BulkItemPolicy {
    /// Errors that another sending only repeats, whatever their status (the incumbent's list, with the names that
    /// OpenSearch and Elasticsearch 8 have given them since).
    package static let permanentTypes: Set<String> = [
        "version_conflict_engine_exception", "mapper_parsing_exception", "document_parsing_exception",
        "strict_dynamic_mapping_exception", "document_missing_exception", "action_request_validation_exception",
        "invalid_index_name_exception", "routing_missing_exception", "illegal_argument_exception",
        "resource_already_exists_exception",
    ]

    /// Errors of a state that passes, under statuses that others use for good: a full disk's write block is 403.
    package static let passingTypes: Set<String> = [
        "cluster_block_exception", "circuit_breaking_exception", "es_rejected_execution_exception",
        "rejected_execution_exception", "open_search_rejected_execution_exception", "unavailable_shards_exception",
        "no_shard_available_action_exception", "process_cluster_event_timeout_exception",
    ]

    /// `status` is 0 when the response was filtered. `errorType` is nil without an error, empty for one without type.
    /// `conflictIsDone`: a create with an id that the source made, which only an earlier sending can have taken.
    package static func verdict(status: Int, errorType: String?, conflictIsDone: Bool) -> BulkItemVerdict {
        if status == 409, conflictIsDone { return .done }
        if status >= 200, status < 300 { return .done }
        if let errorType {
            if passingTypes.contains(errorType) { return .retry }
            if permanentTypes.contains(errorType) { return .refused }
        } else if status == 0 {
            return .done
        }
        // A delete of what is not there says 404 without error.
        if status == 404, errorType == nil { return .done }
        return status == 0 || status == 429 || status >= 500 ? .retry : .refused
    }

    /// The verdict on every item of a bulk response's content, in order. It throws when that is no bulk response.
    package static func verdicts(
        _ response: UnsafeRawBufferPointer, conflict: ConflictMeaning
    ) throws(TransformError) -> [BulkItemVerdict] {
        var verdicts: [BulkItemVerdict] = []
        do throws(JSONError) {
            _ = try BulkResponseScanner.scan(response) { number, item in
                let type = item.error.map { EngineError(UnsafeRawBufferPointer(rebasing: response[$0])).type }
                verdicts.append(
                    verdict(
                        status: item.status, errorType: type, conflictIsDone: conflict.isDone(item: number)))
            }
        } catch {
            throw TransformError(.notJSON, in: "response", at: error.offset, error.message)
        }
        return verdicts
    }
}

/// Makes the smaller bulk out of one that was sent, for the items that are to be sent again.
package enum BulkResend {
    /// The items of `content` whose number `isKept` says yes to, each with its bytes. Blank lines go; a last line
    /// without line feed gets one. It throws when the content has another number of items than `itemCount`, as the
    /// verdicts would then be about others.
    package static func body(
        _ content: UnsafeRawBufferPointer, itemCount: Int, keeping isKept: (Int) -> Bool
    ) throws(TransformError) -> [UInt8] {
        guard let base = content.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return [] }
        var kept: [UInt8] = []
        var at = 0
        var number = 0
        while at < content.count {
            let lineEnd = at + millrace_find_byte(base + at, content.count - at, 0x0A)
            var end = min(lineEnd + 1, content.count)
            let operation =
                Int32(millrace_bulk_action(base + at, lineEnd - at)) & Int32(MILLRACE_BULK_OPERATION)
            if operation == Int32(MILLRACE_BULK_BLANK) {
                at = end
                continue
            }
            if operation != Int32(MILLRACE_BULK_DELETE), !isEscapedDelete(content, at..<lineEnd, operation) {
                guard end < content.count else {
                    throw TransformError(
                        .malformedBulk, in: "bulk item \(number)", at: end, "an action without its source line")
                }
                end = min(end + millrace_find_byte(base + end, content.count - end, 0x0A) + 1, content.count)
            }
            if isKept(number) {
                kept.append(contentsOf: UnsafeRawBufferPointer(rebasing: content[at..<end]))
                if kept.last != 0x0A { kept.append(0x0A) }
            }
            number += 1
            at = end
        }
        guard number == itemCount else {
            throw TransformError(
                .malformedBulk, in: "body", at: content.count, "\(number) items, and \(itemCount) verdicts on them")
        }
        return kept
    }

    /// An action that the fast reader leaves alone: it may be a delete, which has no source line.
    private static func isEscapedDelete(
        _ content: UnsafeRawBufferPointer, _ line: Range<Int>, _ operation: Int32
    ) -> Bool {
        guard operation == Int32(MILLRACE_BULK_UNREADABLE) else { return false }
        var cursor = JSONByteCursor(bytes: UnsafeRawBufferPointer(rebasing: content[line]))
        guard (try? cursor.expect(UInt8(ascii: "{"))) != nil, let name = try? cursor.nextKey() else { return false }
        return JSONStrings.equals(cursor.bytes, name, "delete")
    }

    /// The whole request to send again: the sent head with another Content-Length, and the body in the same coding.
    /// `request` is what was sent: the rewritten head, and the rewritten body or the captured wire bytes.
    package static func request(
        _ request: CapturedRequest, itemCount: Int, keeping isKept: (Int) -> Bool
    ) throws(TransformError) -> RewrittenRequest {
        var trailerCount = 0
        let body = try BodyContent(request).withContent(trailerCount: &trailerCount) {
            (bytes, coding) throws(TransformError) in
            try BodyContent.encoded(try Self.body(bytes, itemCount: itemCount, keeping: isKept), coding)
        }
        var result = RewrittenRequest()
        result.method = request.head.method
        result.isMutating = true
        result.isBulk = true
        result.changes.trailersDropped = trailerCount
        result.body = .replaced(body)
        let host = request.head.value(of: .host).map { Array(request.headBytes[$0]) } ?? []
        let writer = HeadWriter(host: host, authentication: .keep, userAgentSuffix: [], headerRules: [])
        var sent = HeadWriter.Request()
        sent.contentLength = body.count
        result.head = writer.write(request, sent, &result.changes)
        return result
    }
}
