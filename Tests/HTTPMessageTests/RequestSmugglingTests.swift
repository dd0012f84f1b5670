import TestSupport
import Testing

@testable import HTTPMessage

/// Mutations known from attacks on pairs of implementations that read one message differently, with what is to become
/// of each: refused with a code, or read with one framing.
@Suite struct RequestSmugglingTests {
    enum Verdict: Equatable {
        case refused(HTTPError.Code, Int)
        case framed(HTTPBodyFraming)
    }

    private func verdict(_ text: String, _ kind: ScannedMessage.Kind = .request) -> Verdict? {
        let message = ScannedMessage(Array(text.utf8), kind)
        if let error = message.error { return .refused(error.code, error.suggestedStatus) }
        return message.head.map { .framed($0.framing) }
    }

    /// Field lines of a POST with a Host, and the verdict.
    static let fields: [(String, Verdict)] = [
        // Content-Length
        ("Content-Length: 5\r\n", .framed(.length(5))),
        ("Content-Length: 0\r\n", .framed(.none)),
        ("content-length:5\r\n", .framed(.length(5))),
        ("Content-Length: \t 5 \t\r\n", .framed(.length(5))),
        ("Content-Length: 0005\r\n", .framed(.length(5))),
        ("Content-Length: 9223372036854775807\r\n", .framed(.length(.max))),
        ("Content-Length: 9223372036854775808\r\n", .refused(.contentLengthOverflow, 413)),
        ("Content-Length: 18446744073709551621\r\n", .refused(.contentLengthOverflow, 413)),
        ("Content-Length: 99999999999999999999999999999999\r\n", .refused(.contentLengthOverflow, 413)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5, 5\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5,\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5 5\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: +5\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: -5\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 0x5\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5.0\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5e0\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5_0\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: \"5\"\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length:\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: \u{665}\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length: 5\u{a0}\r\n", .refused(.invalidContentLength, 400)),
        ("Content-Length : 5\r\n", .refused(.spaceBeforeColon, 400)),
        ("Content-Length\t: 5\r\n", .refused(.spaceBeforeColon, 400)),
        (" Content-Length: 5\r\n", .refused(.obsoleteFold, 400)),
        ("Content-Length: 5\r\n 6\r\n", .refused(.obsoleteFold, 400)),
        ("Content-Length:\r\n 5\r\n", .refused(.obsoleteFold, 400)),
        ("Content-Length: 5\u{b}\r\n", .refused(.invalidFieldValue, 400)),
        ("Content-Length: \u{0}5\r\n", .refused(.invalidFieldValue, 400)),
        ("Content-Length\u{0}: 5\r\n", .refused(.invalidFieldName, 400)),
        ("Content-Length\u{e9}: 5\r\n", .refused(.invalidFieldName, 400)),
        ("Content-Length: 5\n", .refused(.bareLineFeed, 400)),
        ("Content-Length: 5\rX: y\r\n", .refused(.bareCarriageReturn, 400)),
        ("X: y\rContent-Length: 5\r\n", .refused(.bareCarriageReturn, 400)),
        ("X: y\nContent-Length: 5\r\n", .refused(.bareLineFeed, 400)),
        ("X: y\r\r\nContent-Length: 5\r\n", .refused(.bareCarriageReturn, 400)),
        ("Content_Length: 5\r\n", .framed(.none)),
        ("X-Content-Length: 5\r\n", .framed(.none)),
        ("X: y\u{e9}\r\nContent-Length: 5\r\n", .framed(.length(5))),
        // Transfer-Encoding
        ("Transfer-Encoding: chunked\r\n", .framed(.chunked)),
        ("transfer-encoding:CHUNKED\r\n", .framed(.chunked)),
        ("Transfer-Encoding: , chunked\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked,\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: gzip,,chunked\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", .refused(.contentLengthWithTransferEncoding, 400)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", .refused(.contentLengthWithTransferEncoding, 400)),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", .refused(.contentLengthWithTransferEncoding, 400)),
        ("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked, chunked\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked, gzip\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: gzip\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: gzip, chunked\r\n", .refused(.unsupportedTransferCoding, 501)),
        ("Transfer-Encoding: identity\r\n", .refused(.unsupportedTransferCoding, 501)),
        ("Transfer-Encoding: identity, chunked\r\n", .refused(.unsupportedTransferCoding, 501)),
        ("Transfer-Encoding: xchunked\r\n", .refused(.unsupportedTransferCoding, 501)),
        ("Transfer-Encoding: chunkedx\r\n", .refused(.unsupportedTransferCoding, 501)),
        ("Transfer-Encoding: chunked;q=1\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: chunked foo\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: \"chunked\"\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding:\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding: ,\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding:\u{b}chunked\r\n", .refused(.invalidFieldValue, 400)),
        ("Transfer-Encoding: chunked\u{0}\r\n", .refused(.invalidFieldValue, 400)),
        ("Transfer-Encoding: \u{a0}chunked\r\n", .refused(.invalidTransferEncoding, 400)),
        ("Transfer-Encoding : chunked\r\n", .refused(.spaceBeforeColon, 400)),
        ("Transfer-Encoding\r\n : chunked\r\n", .refused(.invalidFieldName, 400)),
        ("Transfer-Encoding:\r\n chunked\r\n", .refused(.obsoleteFold, 400)),
        ("X: y\r\n\tTransfer-Encoding: chunked\r\n", .refused(.obsoleteFold, 400)),
        ("X: y\nTransfer-Encoding: chunked\r\n", .refused(.bareLineFeed, 400)),
        ("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", .framed(.length(5))),
        ("Transfer-Encoding: chun\u{212a}ed\r\n", .refused(.invalidTransferEncoding, 400)),
        // Connection and Upgrade
        ("Connection: close, Content-Length\r\nContent-Length: 5\r\n", .refused(.invalidConnection, 400)),
        ("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", .refused(.invalidConnection, 400)),
        ("Connection: Host\r\n", .refused(.invalidConnection, 400)),
        ("Connection: a b\r\n", .refused(.invalidConnection, 400)),
        ("Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", .framed(.length(5))),
        // Expect
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", .framed(.length(5))),
        ("Expect: 100-CONTINUE\r\nTransfer-Encoding: chunked\r\n", .framed(.chunked)),
        ("Expect: 100-continue, x\r\nContent-Length: 5\r\n", .refused(.expectationFailed, 417)),
        ("Expect: y 100-continue\r\n", .refused(.expectationFailed, 417)),
        ("Expect:\r\n", .refused(.expectationFailed, 417)),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", .refused(.expectationFailed, 417)),
        ("Expect: 200-ok\r\nContent-Length: 5\r\n", .refused(.expectationFailed, 417)),
        // Host
        ("Host: b\r\n", .refused(.invalidHost, 400)),
        ("host: a\r\n", .refused(.invalidHost, 400)),
        (": x\r\n", .refused(.invalidFieldName, 400)),
        ("X\r\n", .refused(.invalidFieldName, 400)),
        ("X(y): z\r\n", .refused(.invalidFieldName, 400)),
    ]

    @Test func fieldMutations() {
        #expect(Self.fields.count >= 80)
        for (lines, expected) in Self.fields {
            #expect(verdict("POST /i HTTP/1.1\r\nHost: a\r\n\(lines)\r\n") == expected, "\(lines.debugDescription)")
        }
    }

    static let heads: [(String, Verdict)] = [
        ("GET / HTTP/1.1\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.0\r\n\r\n", .framed(.none)),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", .framed(.none)),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: a:9200x\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", .framed(.none)),
        ("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: a%2F_b\r\n\r\n", .framed(.none)),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", .refused(.invalidHost, 400)),
        ("GET / HTTP/1.1\r\nHost: [::1]:9200\r\n\r\n", .framed(.none)),
        ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", .refused(.invalidHost, 400)),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .refused(.invalidTransferEncoding, 400)),
        ("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n", .framed(.length(1))),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", .refused(.invalidVersion, 400)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", .refused(.bareLineFeed, 400)),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .refused(.invalidVersion, 400)),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", .refused(.invalidVersion, 400)),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", .refused(.unsupportedVersion, 505)),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .refused(.unsupportedVersion, 505)),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", .refused(.unsupportedVersion, 505)),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", .refused(.invalidVersion, 400)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .refused(.unsupportedVersion, 505)),
        ("GET /\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidMethod, 400)),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidVersion, 400)),
        ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET /<logs-{now/d}>|\"x\" HTTP/1.1\r\nHost: a\r\n\r\n", .framed(.none)),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", .framed(.none)),
        ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n", .framed(.none)),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", .framed(.none)),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidTarget, 400)),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", .refused(.contentNotAllowed, 400)),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .refused(.contentNotAllowed, 400)),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", .refused(.invalidMethod, 400)),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", .framed(.none)),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", .refused(.invalidMethod, 400)),
        (String(repeating: "A", count: 40), .refused(.methodTooLong, 501)),
        ("GET /" + String(repeating: "a", count: 32 * 1024), .refused(.targetTooLong, 414)),
        ("GET / HTTP/1.1\r\nX: " + String(repeating: "a", count: 64 * 1024), .refused(.headTooLarge, 431)),
        ("GET / HTTP/1.1\r\n" + String(repeating: "a:b\r\n", count: 257), .refused(.tooManyFields, 431)),
    ]

    @Test func headMutations() {
        for (text, expected) in Self.heads {
            #expect(verdict(text) == expected, "\(text.prefix(120).debugDescription)")
        }
    }

    /// Chunked bodies: the code, or nil with the content.
    static let bodies: [(String, HTTPError.Code?)] = [
        ("5\r\nhello\r\n0\r\n\r\n", nil),
        ("05\r\nhello\r\n00\r\n\r\n", nil),
        ("5;a;b=c;d=\"e\\\"; \"\r\nhello\r\n0\r\n\r\n", nil),
        ("5; a = b\r\nhello\r\n0;x\r\nT: 1\r\n\r\n", nil),
        ("\r\n5\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        (" 5\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("5 \r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("5 ;a\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("5\t\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("+5\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("-5\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("0x5\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("5_\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("g\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        (";a\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("\u{665}\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("5\nhello\r\n0\r\n\r\n", .invalidChunkSize),
        ("5\rXhello\r\n0\r\n\r\n", .bareCarriageReturn),
        ("5\r\r\nhello\r\n0\r\n\r\n", .bareCarriageReturn),
        ("5\r\nhelloX\r\n0\r\n\r\n", .invalidChunkEnd),
        ("5\r\nhello\n0\r\n\r\n", .invalidChunkEnd),
        ("5\r\nhello0\r\n\r\n", .invalidChunkEnd),
        ("5\r\nhello\rX0\r\n\r\n", .bareCarriageReturn),
        ("5;\r\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;a=\r\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;a \r\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;a\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;a=\"b\r\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;a\u{0}\r\nhello\r\n0\r\n\r\n", .invalidChunkExtension),
        ("5;\(String(repeating: "a", count: 1024))\r\nhello\r\n0\r\n\r\n", .chunkExtensionTooLong),
        ("8000000000000000\r\n", .chunkSizeOverflow),
        ("ffffffffffffffff\r\n", .chunkSizeOverflow),
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", .chunkSizeOverflow),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", .chunkSizeOverflow),
        ("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer),
        ("0\r\nTransfer-Encoding: x\r\n\r\n", .forbiddenTrailer),
        ("0\r\nhost: x\r\n\r\n", .forbiddenTrailer),
        ("0\r\nAuthorization: x\r\n\r\n", .forbiddenTrailer),
        ("0\r\nSet-Cookie: x\r\n\r\n", .forbiddenTrailer),
        ("0\r\nA: b\r\n c\r\n\r\n", .obsoleteFold),
        ("0\r\nA : b\r\n\r\n", .spaceBeforeColon),
        ("0\r\nA: b\n\r\n", .bareLineFeed),
        ("0\r\n\n", .bareLineFeed),
        ("0\r\n\rX", .bareCarriageReturn),
        ("0\r\n" + String(repeating: "a: b\r\n", count: 3000) + "\r\n", .tooManyFields),
        ("0\r\na: " + String(repeating: "b", count: 17000) + "\r\n\r\n", .trailersTooLarge),
    ]

    @Test func chunkedBodyMutations() {
        for (body, code) in Self.bodies {
            let text = "POST /i HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(body)"
            let message = ScannedMessage(Array(text.utf8), .request)
            #expect(message.error?.code == code, "\(body.prefix(80).debugDescription)")
            #expect(message.isComplete == (code == nil), "\(body.prefix(80).debugDescription)")
            if code == nil { #expect(message.body == Array("hello".utf8)) }
        }
    }

    @Test func extensionsOfAWholeBodyAreBounded() {
        let chunk = "1;\(String(repeating: "a", count: 1000))\r\nx\r\n"
        let text =
            "POST /i HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(String(repeating: chunk, count: 70))"
        #expect(ScannedMessage(Array(text.utf8), .request).error?.code == .chunkExtensionTooLong)
    }

    static let responses: [(String, HTTPMethod, Verdict)] = [
        ("200 OK\r\nContent-Length: 5\r\n", .get, .framed(.length(5))),
        ("200 OK\r\nContent-Length: 5\r\n", .head, .framed(.none)),
        ("200 OK\r\nContent-Length: 5\r\n", .connect, .framed(.upgrade)),
        ("407 No\r\nContent-Length: 5\r\n", .connect, .framed(.length(5))),
        ("200 OK\r\n", .get, .framed(.untilClose)),
        ("304 Not Modified\r\nContent-Length: 5\r\n", .get, .framed(.none)),
        ("204 No Content\r\n", .get, .framed(.none)),
        ("204 No Content\r\nContent-Length: 0\r\n", .get, .framed(.none)),
        ("204 No Content\r\nContent-Length: 5\r\n", .get, .refused(.contentNotAllowed, 400)),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n", .get, .refused(.contentNotAllowed, 400)),
        ("100 Continue\r\nTransfer-Encoding: chunked\r\n", .get, .refused(.contentNotAllowed, 400)),
        ("101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n", .get, .framed(.upgrade)),
        ("103 Early Hints\r\nLink: x\r\n", .get, .framed(.none)),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", .get, .framed(.chunked)),
        ("200 OK\r\nTransfer-Encoding: gzip\r\n", .get, .framed(.untilClose)),
        ("200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", .get, .framed(.chunked)),
        ("200 OK\r\nTransfer-Encoding: identity\r\n", .get, .refused(.unsupportedTransferCoding, 501)),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", .get,
            .refused(.contentLengthWithTransferEncoding, 400)
        ),
        ("200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", .get, .refused(.invalidContentLength, 400)),
        ("200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n", .head, .refused(.invalidContentLength, 400)),
        ("99 Low\r\n", .get, .refused(.invalidStatus, 400)),
        ("099 Low\r\n", .get, .refused(.invalidStatus, 400)),
        ("600 High\r\n", .get, .refused(.invalidStatus, 400)),
        ("2000 OK\r\n", .get, .refused(.invalidStatus, 400)),
        ("+20 OK\r\n", .get, .refused(.invalidStatus, 400)),
        (" 200 OK\r\n", .get, .refused(.invalidStatus, 400)),
        ("200 O\u{0}K\r\n", .get, .refused(.invalidReason, 400)),
        ("200 O\rK\r\n", .get, .refused(.bareCarriageReturn, 400)),
    ]

    @Test func responseMutations() {
        for (rest, method, expected) in Self.responses {
            #expect(verdict("HTTP/1.1 \(rest)\r\n", .response(to: method)) == expected, "\(rest.debugDescription)")
        }
        #expect(
            verdict("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .response(to: .get))
                == .refused(.invalidTransferEncoding, 400))
        #expect(verdict("\r\nHTTP/1.1 200 OK\r\n\r\n", .response(to: .get)) == .refused(.invalidVersion, 400))
    }

    @Test func statusesBeyond599OnRequest() throws {
        var limits = HTTPLimits()
        limits.highestStatus = 999
        let bytes = Array("HTTP/1.1 999 Odd\r\n\r\n".utf8)
        #expect(ScannedMessage(bytes, .response(to: .get), limits: limits).head?.status == 999)
    }

    @Test func connectionsPersistAsTheRFCSays() throws {
        let rows: [(String, Bool)] = [
            ("HTTP/1.1\r\nHost: a\r\n", true), ("HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n", false),
            ("HTTP/1.0\r\n", false), ("HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
            ("HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
        ]
        for (text, isPersistent) in rows {
            let message = ScannedMessage(Array("GET / \(text)\r\n".utf8), .request)
            #expect(message.head?.isPersistent == isPersistent, "\(text.debugDescription)")
        }
        let upgrade = ScannedMessage(
            Array("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: w\r\nConnection: Upgrade\r\n\r\n".utf8), .request)
        #expect(upgrade.head?.isUpgrade == true)
    }
}
