import JSONBytes
import TestSupport
import Testing

@testable import TupleFormat

@Suite struct TupleEncoderTests {
    /// The exchange and the tuple of the reference's own `ResultsToLogsConsumerTest.testOutputterForGet`
    /// (opensearch-migrations, commit 04de57c7), with the chunk ended as RFC 9112 wants it, and without the blanks that
    /// its JSON comparison passes over.
    @Test func aGetBecomesTheLineOfTheReference() {
        let request = SampleMessage(
            "GET /test HTTP/1.1\r\nHost: foo.example\r\nauTHorization: Basic YWRtaW46YWRtaW4=\r\n\r\n")
        let head = """
            HTTP/1.1 200 OK\r
            Content-transfer-encoding: chunked\r
            Date: Thu, 08 Jun 2023 23:06:23 GMT\r
            Transfer-encoding: chunked\r
            Content-type: text/plain\r
            Funtime: checkIt!\r
            \r

            """
        let body = "1e\r\nI should be decrypted tester!\r\r\n0\r\n\r\n"
        var tuple = SampleTuple(connection: "testConnection", number: 1)
        tuple.sourceRequest = request
        tuple.sourceResponse = SampleMessage(head, body, time: 0)
        tuple.targetRequest = request
        tuple.targetResponses = [SampleMessage(head, body, time: 267)]
        let message = { (time: Int) in
            "{\"Content-transfer-encoding\":[\"chunked\"],\"Date\":[\"Thu, 08 Jun 2023 23:06:23 GMT\"],"
                + "\"Transfer-encoding\":[\"chunked\"],\"Content-type\":[\"text/plain\"],\"Funtime\":[\"checkIt!\"],"
                + "\"HTTP-Version\":\"HTTP/1.1\",\"Status-Code\":200,\"Reason-Phrase\":\"OK\","
                + "\"response_time_ms\":\(time),\"payload\":{\"inlinedTextBody\":\"I should be decrypted tester!\\r\"}}"
        }
        let sent =
            "{\"Host\":[\"foo.example\"],\"auTHorization\":[\"Basic YWRtaW46YWRtaW4=\"],\"Request-URI\":\"/test\","
            + "\"Method\":\"GET\",\"HTTP-Version\":\"HTTP/1.1\",\"payload\":{\"inlinedTextBody\":\"\"}}"
        let expected =
            "{\"sourceRequest\":\(sent),\"sourceResponse\":\(message(0)),\"targetRequest\":\(sent),"
            + "\"targetResponses\":[\(message(267))],\"connectionId\":\"testConnection.1\",\"numRequests\":1,"
            + "\"numErrors\":0}\n"
        #expect(tuple.line() == expected)
    }

    /// Bodies by the rules of `NettyJsonBodyAccumulateHandler` (case 42 of the acceptance list).
    @Test(arguments: [
        ("", "\"inlinedTextBody\":\"\""),
        ("{\"b\":1.10,\"a\":1e400,\"a\":[ ]}", "\"inlinedJsonBody\":{\"b\":1.10,\"a\":1e400,\"a\":[ ]}"),
        ("{\n  \"a\":\r\n 1\n}\n", "\"inlinedJsonBody\":{   \"a\":   1 }"),
        ("{\"a\":1}\n{\"b\":[2]}\n", "\"inlinedJsonSequenceBodies\":[{\"a\":1},{\"b\":[2]}]"),
        ("{\"a\":1}{\"b\":2}", "\"inlinedJsonSequenceBodies\":[{\"a\":1},{\"b\":2}]"),
        ("{\"a\":1}\n{\"b\":", "\"inlinedJsonBody\":{\"a\":1},\"inlinedTextBody\":\"{\\\"b\\\":\""),
        ("{\"a\":1}\nnonsense", "\"inlinedTextBody\":\"{\\\"a\\\":1}\\nnonsense\""),
        ("{\"a\":", "\"inlinedTextBody\":\"{\\\"a\\\":\""),
        ("{\"a\":\"x\ny\"}", "\"inlinedTextBody\":\"{\\\"a\\\":\\\"x\\ny\\\"}\""),
        ("12", "\"inlinedJsonBody\":12"),
        ("2026-03-01", "\"inlinedTextBody\":\"2026-03-01\""),
        ("\"\\ud800\"", "\"inlinedTextBody\":\"\\\"\\\\ud800\\\"\""),
        ("  \n ", "\"inlinedTextBody\":\"  \\n \""),
        ("tab\tbell\u{7}é", "\"inlinedTextBody\":\"tab\\tbell\\u0007é\""),
    ])
    func bodiesTakeTheFormOfTheirContent(body: String, payload: String) {
        var tuple = SampleTuple()
        tuple.targetResponses = [SampleMessage("HTTP/1.1 200 OK\r\n\r\n", body, framed: false)]
        #expect(tuple.line().contains("\"Reason-Phrase\":\"OK\",\"payload\":{\(payload)}}]"), "\(tuple.line())")
    }

    @Test func otherBytesAreBase64AndFormsStayText() {
        var tuple = SampleTuple()
        tuple.sourceRequest = SampleMessage(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
                + "Content-Length: 7\r\n\r\n", "a=b&c=d")
        tuple.targetResponses = [SampleMessage("HTTP/1.0 200 \r\n\r\n", [0xFF, 0x00, 0xC3])]
        let line = tuple.line()
        #expect(line.contains("\"payload\":{\"inlinedFormEncodedBody\":\"a=b&c=d\"}"))
        #expect(line.contains("\"HTTP-Version\":\"HTTP/1.0\",\"Status-Code\":200,\"Reason-Phrase\":\"\""))
        #expect(line.contains("\"payload\":{\"inlinedBase64Body\":\"/wDD\"}"))
    }

    @Test func codedContentIsRead() {
        let text = Array("{\"a\":\"\(String(repeating: "x", count: 300))\"}".utf8)
        let packed = gzipped(text)
        // RFC 1950 around a stored block, and the bare block.
        let stored: [UInt8] = [0x01, 0x02, 0x00, 0xFD, 0xFF, 0x34, 0x32]
        let zlib: [UInt8] = [0x78, 0x01] + stored + [0x00, 0x9C, 0x00, 0x67]
        var tuple = SampleTuple()
        var chunked = SampleMessage(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n",
            Array("\(String(packed.count, radix: 16))\r\n".utf8) + packed + Array("\r\n0\r\n\r\n".utf8))
        chunked.cuts = [1, 5, 9, packed.count]
        tuple.targetResponses = [
            chunked,
            SampleMessage("HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n", zlib, framed: false),
            SampleMessage("HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n", stored, framed: false),
            SampleMessage("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "no gzip", framed: false),
            SampleMessage("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n", "who knows", framed: false),
        ]
        let line = tuple.line()
        #expect(line.contains("\"payload\":{\"inlinedJsonBody\":\(String(decoding: text, as: UTF8.self))}"))
        #expect(line.split(separator: "\"inlinedJsonBody\":42}").count == 3)
        #expect(line.contains("\"inlinedBase64Body\":\"bm8gZ3ppcA==\""))
        #expect(line.contains("\"inlinedBase64Body\":\"d2hvIGtub3dz\""))
    }

    @Test func longBodiesAreCutAndMeasured() throws {
        let body = Array(String(repeating: "0123456789abcdeé", count: 1000).utf8)
        var tuple = SampleTuple()
        tuple.sourceResponse = SampleMessage("HTTP/1.1 200 OK\r\n\r\n", body)
        tuple.targetResponses = [
            SampleMessage("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", gzipped(body), framed: false),
            SampleMessage("HTTP/1.1 200 OK\r\n\r\n", body),
        ]
        tuple.targetResponses[1].cuts = [3, 7000]
        tuple.verdict = .bodyDiffers(BodyDifference(path: "a.*", kind: .value, source: "1", target: "\"\n\""))
        let line = Array(tuple.line(.limit(1000)).utf8)
        let value = try JSONValue.parse(line)
        let start = String(decoding: body[..<256], as: UTF8.self)
        let cut = value["sourceResponse"]?["payload"]?["cutBody"]
        #expect(cut?["bytes"]?.intValue == 17000 && cut?["start"]?.stringValue == start)
        #expect(value["targetResponses"]?.arrayValue?[1]["payload"]?["cutBody"] == cut)
        let coded = value["targetResponses"]?.arrayValue?[0]["payload"]?["cutBody"]
        #expect(coded?["coding"]?.stringValue == "gzip" && coded?["startBase64"] != nil)
        #expect(value["comparison"]?["target"]?.stringValue == "\"\n\"")
        // Nothing is cut at the limit, and then no verdict is written.
        #expect(!tuple.line(.limit(17000)).contains("cutBody") && !tuple.line(.limit(0)).contains("comparison"))
    }

    @Test func namesShareAnArrayAndCredentialsGo() {
        var tuple = SampleTuple()
        tuple.sourceRequest = SampleMessage(
            "GET /a%20b?q=\"x\" HTTP/1.1\r\nhost: h\r\nX-A: 1\r\nauthorization: Basic eDp5\r\nx-a: 2\r\nX-a: \r\n"
                + "COOKIE: s=1\r\nX-B: caf\u{E9}\r\n\r\n")
        let line = tuple.line(TupleEncoder.Settings())
        #expect(
            line.hasPrefix(
                "{\"sourceRequest\":{\"host\":[\"h\"],\"X-A\":[\"1\",\"2\",\"\"],\"authorization\":[\"[removed]\"],"
                    + "\"COOKIE\":[\"[removed]\"],\"X-B\":[\"café\"],\"Request-URI\":\"/a%20b?q=\\\"x\\\"\","),
            "\(line)")
        #expect(!line.contains("eDp5") && !line.contains("s=1"))
    }

    @Test func brokenMessagesSaySo() throws {
        var tuple = SampleTuple(connection: "a\"b", number: 12)
        tuple.sourceRequest = SampleMessage("GET / HTTP/1.1\r\n")
        tuple.sourceResponse = SampleMessage("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "{\"a\":1}")
        tuple.targetResponses = [SampleMessage("nonsense of some length\r\n\r\n")]
        tuple.error = "gave \"up\""
        tuple.numErrors = 4
        tuple.sourceTime = 1_700_000_000_123
        let value = try JSONValue.parse(Array(tuple.line().utf8))
        let whole = "Message couldn't be parsed as a full http message"
        #expect(value["sourceRequest"] == .object([JSONMember(key: "Exception", value: .string(whole))]))
        #expect(value["sourceResponse"]?["Exception"]?.stringValue?.hasPrefix("body, byte 7") == true)
        #expect(value["sourceResponse"]?["payload"]?["inlinedJsonBody"]?["a"]?.intValue == 1)
        #expect(value["targetResponses"]?.arrayValue?[0]["Exception"]?.stringValue?.hasPrefix("byte ") == true)
        let keys = value.objectValue?.map(\.key)
        #expect(
            keys == [
                "sourceRequest", "sourceResponse", "targetResponses", "connectionId", "error", "numRequests",
                "numErrors", "source_time_ms",
            ])
        #expect(value["connectionId"]?.stringValue == "a\"b.12" && value["error"]?.stringValue == "gave \"up\"")
        #expect(SampleTuple().line().hasPrefix("{\"targetResponses\":[],\"connectionId\":\"c.0\",\"numRequests\":1"))
    }
}
