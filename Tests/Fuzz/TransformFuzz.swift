import HTTPMessage
import JSONBytes
import Transform

/// What a seed is: a request as on the wire, an empty line `\n\n` of its own, and the source's response's content. The
/// first byte chooses the rules.
private enum TransformFuzz {
    static let rules = [
        "",
        "{\"rule\":\"remove-types\"},{\"rule\":\"drop-field\",\"field\":\"a.b\"},"
            + "{\"rule\":\"rename-field\",\"from\":\"c\",\"to\":\"d\"}",
        "{\"rule\":\"map-type\",\"index\":\"i\",\"type\":\"t\",\"to\":\"u\"},"
            + "{\"rule\":\"rename-index\",\"from\":\"a*b*\",\"to\":\"$2x$1\"},{\"rule\":\"drop-index\",\"index\":\"c*\"}",
        "{\"rule\":\"rewrite-path\",\"from\":\"/x/*\",\"to\":\"/$1\"},{\"rule\":\"set-header\",\"name\":\"a\",\"value\":\"b\"}",
    ]

    static let rewriters: [RequestRewriter] = rules.enumerated().compactMap { number, text in
        guard let rules = try? RuleSet(json: Array("{\"rules\":[\(text)]}".utf8), file: "fuzz") else { return nil }
        return RequestRewriter(
            rules: number == 0 ? nil : rules, host: Array("new:9200".utf8),
            authentication: number == 3 ? .signed : .basic(Array("Basic x".utf8)),
            userAgentSuffix: Array("millrace".utf8))
    }

    static func head(_ bytes: UnsafeRawBufferPointer) -> HTTPHead? {
        var scanner = HTTPHeadScanner()
        guard (try? scanner.scan(bytes)) == true else { return nil }
        return scanner.head
    }
}

/// A request and a response through every entry of the module: no trap, heads that can be scanned and frame their body,
/// JSON that stays JSON, scans that do not depend on cuts, and a rule file that compiles or tells its problems.
@Sendable func fuzzTransform(_ bytes: UnsafeRawBufferPointer) {
    precondition(TransformFuzz.rewriters.count == TransformFuzz.rules.count, "a rule set does not compile")
    guard bytes.count > 1 else { return }
    let rewriter = TransformFuzz.rewriters[Int(bytes[0]) % TransformFuzz.rewriters.count]
    let rest = UnsafeRawBufferPointer(rebasing: bytes[1...])
    fuzzRuleFile(rest)
    guard let head = TransformFuzz.head(rest) else { return }
    let content = UnsafeRawBufferPointer(rebasing: rest[head.byteCount...])
    let end = separator(content) ?? content.count
    let body = UnsafeRawBufferPointer(rebasing: content[..<end])
    let answer = UnsafeRawBufferPointer(rebasing: content[min(end + 2, content.count)...])
    let headBytes = UnsafeRawBufferPointer(rebasing: rest[..<head.byteCount])
    let request = CapturedRequest(headBytes: headBytes, head: head, body: [body])
    let needsResponse = rewriter.needsResponse(request)
    for cut in [0, body.count / 3, body.count / 2] {
        var pieces = request
        pieces.body = [
            UnsafeRawBufferPointer(rebasing: body[..<cut]), UnsafeRawBufferPointer(rebasing: body[cut...]),
        ]
        precondition(rewriter.needsResponse(pieces) == needsResponse, "the scan depends on the cut at \(cut)")
    }
    let responseHead = Array("HTTP/1.1 200 OK\r\ncontent-length: \(answer.count)\r\n\r\n".utf8)
    responseHead.withUnsafeBytes { responseBytes in
        var scanner = HTTPHeadScanner(responseTo: .post)
        guard (try? scanner.scan(responseBytes)) == true else { return }
        let response = SourceResponse(headBytes: responseBytes, head: scanner.head, body: [answer])
        for ids in [SourceIDs.notNeeded, .response(response), .unavailable] {
            guard let result = try? rewriter.rewrite(request, ids: ids), result.skip == nil else { continue }
            check(result, request, body)
        }
    }
    fuzzResend(body)
}

private func separator(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count > 1 else { return nil }
    return (0..<(bytes.count - 1)).first { bytes[$0] == 0x0A && bytes[$0 + 1] == 0x0A }
}

private func check(_ result: RewrittenRequest, _ request: CapturedRequest, _ body: UnsafeRawBufferPointer) {
    let sent = result.head.withUnsafeBytes { TransformFuzz.head($0) }
    guard let sent else { preconditionFailure("the head cannot be scanned") }
    precondition(sent.byteCount == result.head.count, "bytes behind the head")
    precondition(sent.method == result.method, "another method than told")
    guard case .replaced(let new) = result.body else {
        precondition(sent.framing == request.head.framing, "the framing changed without the body")
        return
    }
    let framing = new.isEmpty ? HTTPBodyFraming.none : .length(Int64(new.count))
    precondition(sent.framing == framing, "the framing is not the body's")
    let isJSON = !result.isBulk && sent.value(of: .contentEncoding) == nil && request.head.framing != .chunked
    if isJSON, (try? JSONValue.parse(body)) != nil {
        let isStillJSON = (try? JSONValue.parse(new)) != nil
        precondition(isStillJSON, "the body was JSON")
    }
}

private func fuzzRuleFile(_ bytes: UnsafeRawBufferPointer) {
    do throws(RuleFileError) {
        _ = try RuleSet(json: Array(bytes), file: "fuzz")
    } catch {
        precondition(!error.problems.isEmpty && error.problems.allSatisfy { $0.line > 0 && $0.column > 0 }, "no place")
    }
}

private func fuzzResend(_ body: UnsafeRawBufferPointer) {
    var count = 0
    while count < 8 {
        guard let all = try? BulkResend.body(body, itemCount: count, keeping: { _ in true }) else {
            count += 1
            continue
        }
        let again = try? all.withUnsafeBytes { try BulkResend.body($0, itemCount: count, keeping: { _ in true }) }
        precondition(again == all, "keeping all twice differs")
        return
    }
}
