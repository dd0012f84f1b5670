import CapturedTraffic
import JSONBytes
import TestSupport
import Testing

@Suite struct CapturedMessageTests {
    @Test func requestsAndResponsesComeApart() {
        let request = CapturedMessage(
            Array("\r\nPUT /i/_doc/1?x=%20 HTTP/1.1\r\nHost:a\r\nX-Empty:\r\nX-Two: a\t b \t\r\n\r\nbody".utf8))
        #expect(request.method == "PUT" && request.target == "/i/_doc/1?x=%20" && request.isHeadWhole)
        #expect(request.fields.map(\.name) == ["Host", "X-Empty", "X-Two"])
        #expect(request.fields.map(\.value) == ["a", "", "a\t b"] && request.body == Array("body".utf8))
        let response = CapturedMessage(Array("HTTP/1.1 404 Not Found\r\n\r\n".utf8))
        #expect(response.status == 404 && response.firstLine.last == "Not Found" && response.body.isEmpty)
    }

    @Test func looseAndCutMessagesGiveWhatThereIs() {
        let loose = CapturedMessage(Array("GET / HTTP/1.0\nA: 1\nno colon\n\nx".utf8))
        #expect(loose.fields.map(\.name) == ["A", "no colon"] && loose.body == [0x78] && loose.isHeadWhole)
        let whole = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
        for count in 0...whole.utf8.count {
            let message = CapturedMessage(Array(whole.utf8.prefix(count)))
            #expect(message.isHeadWhole == (count >= 39))
            if count >= 17 { #expect(message.target == "/a") }
        }
        #expect(CapturedMessage([]).method == nil && CapturedMessage([]).status == nil)
        let latin = CapturedMessage(Array("GET / HTTP/1.1\r\nX: ".utf8) + [0xE9] + Array("\r\n\r\n".utf8))
        #expect(latin.fields.map(\.value) == ["é"])
    }

    @Test func chunksAreJoined() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
        let body = { (text: String) in String(decoding: CapturedMessage(Array((head + text).utf8)).body, as: UTF8.self)
        }
        #expect(body("3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nT: 1\r\n\r\n") == "abc0123456789")
        #expect(body("3\r\nabc\r\n5\r\n01") == "abc01")
        #expect(body("0\r\n\r\n") == "" && body("") == "")
        #expect(body("3\r\nabcXX5") == "abcXX5" && body("no chunk") == "no chunk")
    }

    @Test func timesAreReadable() {
        let text = { (seconds: Int64, nanoseconds: Int32) in
            TrafficTimestamp(seconds: seconds, nanoseconds: nanoseconds).text
        }
        #expect(text(0, 0) == "1970-01-01T00:00:00.000000000Z")
        #expect(text(1_795_466_599, 402_213_497) == "2026-11-23T20:43:19.402213497Z")
        #expect(
            text(951_782_399, 1) == "2000-02-28T23:59:59.000000001Z" && text(951_782_400, 0).hasPrefix("2000-02-29"))
        #expect(text(-1, 5) == "1969-12-31T23:59:59.000000005Z" && text(-86_400, 0).hasPrefix("1969-12-31T00:00:00"))
        #expect(
            text(.max, .max) == "9999-12-31T23:59:59.999999999Z" && text(.min, .min) == "0000-01-01T00:00:00.000000000Z"
        )
    }

    @Test func anExchangeIsOneJSONObject() throws {
        let connection = CapturedConnection([
            .read("POST /i/_doc?a=\"b\" HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n{}"), .end,
            .write("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), .read("PUT /"),
            .close,
        ])
        var lines: [JSONValue] = []
        for exchange in try connection.reassembled().exchanges {
            var json = JSONWriter()
            exchange.append(to: &json, connection: "c\"1", node: "n")
            lines.append(try JSONValue.parse(json.bytes))
        }
        let first = try #require(lines.first)
        #expect(first["connection"]?.stringValue == "c\"1" && first["request"]?.intValue == 0)
        #expect(first["method"]?.stringValue == "POST" && first["target"]?.stringValue == "/i/_doc?a=\"b\"")
        #expect(first["requestHeaders"]?.arrayValue?.count == 3 && first["requestBody"]?.stringValue == "e30=")
        #expect(first["requestTime"]?.stringValue == "2026-11-23T20:43:20.402213497Z")
        #expect(first["status"]?.intValue == 201 && first["responseBody"]?.stringValue == "b2s=")
        #expect(first["complete"]?.boolValue == true && first["responseComplete"]?.boolValue == true)
        let second = try #require(lines.last)
        #expect(lines.count == 2 && second["complete"]?.boolValue == false && second["status"] == .null)
        #expect(
            second["responseHeaders"] == .null && second["responseTime"] == .null
                && second["method"]?.stringValue == "PUT")
    }
}

@Suite struct TrafficArchiveLineTests {
    private func parse(_ line: String) throws -> TrafficArchiveLine? {
        try Array(line.utf8).withUnsafeBytes { try TrafficArchiveLine.parse($0) }
    }

    @Test func eachFormIsRead() throws {
        #expect(try parse("key|YWI=") == TrafficArchiveLine(key: Array("key".utf8), value: Array("ab".utf8)))
        #expect(try parse("a|b|YWI=\r")?.key == Array("a|b".utf8))
        #expect(try parse("YWI=") == TrafficArchiveLine(key: nil, value: Array("ab".utf8)))
        #expect(
            try parse(#"{"offset":1,"key":"k","value":"YWI="}"#)
                == TrafficArchiveLine(key: [0x6B], value: Array("ab".utf8)))
        #expect(try parse("") == nil)
        #expect(try parse("\r") == nil)
        #expect(try parse("k|") == TrafficArchiveLine(key: [0x6B], value: []))
    }

    @Test(arguments: ["k|Y", "k|YW=I", "k|Y===", "k|YWJ=", "k|YW I=", "{", #"{"key":"k"}"#, #"{"value":"*"}"#])
    func brokenLinesAreErrors(line: String) {
        #expect(throws: TrafficArchiveLine.Failure.self) { try parse(line) }
    }

    @Test func base64GoesBothWays() throws {
        var random = SeededGenerator(seed: 3)
        for count in 0..<200 {
            let bytes = random.bytes(count)
            var text: [UInt8] = []
            bytes.withUnsafeBytes { Base64.append($0, to: &text) }
            #expect(text.count == (count + 2) / 3 * 4)
            #expect(text.withUnsafeBytes { Base64.decode($0) } == bytes)
            let unpadded = Array(text.prefix { $0 != UInt8(ascii: "=") })
            #expect(unpadded.withUnsafeBytes { Base64.decode($0) } == bytes)
            var line: [UInt8] = []
            bytes.withUnsafeBytes { value in
                Array("key".utf8).withUnsafeBytes { TrafficArchiveLine.append(key: $0, value: value, to: &line) }
            }
            #expect(line.last == 0x0A)
            let parsed = try line.dropLast().withUnsafeBytes { try TrafficArchiveLine.parse($0) }
            #expect(parsed == TrafficArchiveLine(key: Array("key".utf8), value: bytes))
        }
    }
}
