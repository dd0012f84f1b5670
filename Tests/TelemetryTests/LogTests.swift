import Glibc
import Synchronization
import Testing

@testable import Telemetry

@Suite struct LogTests {
    /// 2026-01-31T23:59:59.042Z
    private static let moment = LogTime(millisecondsSinceEpoch: 1_769_903_999_042)

    /// The lines that `body` logs.
    private static func lines(
        level: LogLevel = .info, format: LogFormat = .json, _ body: (Log) -> Void
    ) -> [String] {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.writeEnd, level: level, format: format, now: { moment })
        body(Log(output))
        let text = String(decoding: pipe.content(), as: UTF8.self)
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    @Test func aJSONLineHasTimeLevelMessageThenMetadataInOrder() {
        let lines = Self.lines { log in
            log.warning(
                "request failed",
                [
                    .target: "http://t", .attempt: 3, .fraction: 0.25, .state: true,
                    .delaySeconds: .duration(.milliseconds(1500)),
                ])
        }
        #expect(
            lines == [
                #"{"time":"2026-01-31T23:59:59.042Z","level":"warning","message":"request failed","target":"http://t","#
                    + #""attempt":3,"fraction":0.25,"state":true,"delaySeconds":1.5}"#
            ])
    }

    @Test func textQuotesOnlyWhatNeedsIt() {
        let lines = Self.lines(format: .text) { log in
            log.info("listening", [.address: "127.0.0.1:9600", .reason: "two words", .error: "", .code: "a=\"b\""])
        }
        #expect(
            lines == [
                #"2026-01-31T23:59:59.042Z info    listening address=127.0.0.1:9600 reason="two words" error="" "#
                    + #"code="a=\"b\"""#
            ])
    }

    @Test func metadataIsNotEvaluatedWhenTheLevelIsOff() {
        var evaluatedCount = 0
        func value() -> LogValue {
            evaluatedCount += 1
            return "x"
        }
        let lines = Self.lines(level: .warning) { log in
            log.debug("no", [.name: value()])
            log.info("no", [.name: value()])
            log.warning("yes", [.name: value()])
            log.error("yes", [.name: value()])
        }
        #expect(evaluatedCount == 2)
        #expect(lines.count == 2)
    }

    @Test func contextIsInEveryLineBeforeTheOtherMetadata() {
        let lines = Self.lines { log in
            log.with([.worker: 2]).with([.index: "logs"]).info("read", [.shard: 0])
        }
        #expect(lines.count == 1)
        #expect(lines[0].hasSuffix(#""worker":2,"index":"logs","shard":0}"#))
    }

    @Test func keysDoNotCollideWithTheLinesOwn() {
        for key in LogKey.allCases { #expect(!["time", "level", "message"].contains(key.rawValue)) }
    }

    @Test func everyScalarIsEscapedAsAnObviousModelDoes() {
        func model(_ scalar: Unicode.Scalar) -> String {
            switch scalar.value {
            case 0x22: return "\\\""
            case 0x5C: return "\\\\"
            case 0x0A: return "\\n"
            case 0x09: return "\\t"
            case 0..<0x20, 0x7F...0x9F:
                let hex = String(scalar.value, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: return String(scalar)
            }
        }
        var wrong: [UInt32] = []
        for value in UInt32(0)...0x10FFFF where value <= 0x3000 || value % 251 == 0 {
            guard let scalar = Unicode.Scalar(value) else { continue }
            var bytes: [UInt8] = []
            JSONText.append(String(scalar).utf8, to: &bytes)
            if String(decoding: bytes, as: UTF8.self) != model(scalar) { wrong.append(value) }
        }
        #expect(wrong.isEmpty)
    }

    @Test func bytesThatAreNotUTF8BecomeReplacementCharacters() {
        for byte in UInt8.min...UInt8.max {
            let lines = Self.lines { log in log.info("m", [.name: .bytes([0x61, byte, 0x62])]) }
            #expect(lines.count == 1)
            if byte >= 0x80 { #expect(lines[0].hasSuffix("\"name\":\"a\u{FFFD}b\"}")) }
        }
    }

    @Test func aLongValueIsCutBetweenCharactersAndSaysByHowMuch() {
        for padding in 0..<4 {
            let text = String(repeating: "x", count: padding) + String(repeating: "\u{1F600}", count: 3000)
            let lines = Self.lines { log in log.info("m", [.name: .text(text)]) }
            let keptBytes = 8192 - (8192 - padding) % 4
            #expect(lines[0].hasSuffix("… (\(padding + 12000 - keptBytes) bytes more)\"}"))
            #expect(!lines[0].contains("\u{FFFD}"))
        }
        let raw = Self.lines { log in log.info("m", [.name: .bytes([UInt8](repeating: 0x61, count: 10000))]) }
        #expect(raw[0].hasSuffix("a… (1808 bytes more)\"}"))
    }

    @Test func numbersThatJSONLacksAreText() {
        let lines = Self.lines { log in
            log.info(
                "m", [.fraction: .number(.infinity), .bytesPerSecond: .number(.nan), .byteCount: LogValue(UInt64.max)])
        }
        #expect(lines[0].hasSuffix(#""fraction":"inf","bytesPerSecond":"nan","byteCount":9223372036854775807}"#))
    }

    @Test func linesOfManyThreadsStayWhole() {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.writeEnd, format: .json)
        let content = Mutex<[UInt8]>([])
        let reader = TestThread {
            let bytes = pipe.drain()
            content.withLock { $0 = bytes }
        }
        // Some lines are longer than PIPE_BUF.
        let writers = (0..<4).map { worker in
            TestThread {
                for attempt in 0..<100 {
                    let filling = String(repeating: "v", count: attempt % 10 == 0 ? 7000 : 10)
                    Log(output).info(
                        "m", [.worker: LogValue(worker), .attempt: LogValue(attempt), .name: .text(filling)])
                }
            }
        }
        for writer in writers { writer.join() }
        close(pipe.writeEnd)
        reader.join()
        let lines = String(decoding: content.withLock { $0 }, as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 400)
        #expect(lines.allSatisfy { $0.hasPrefix("{\"time\":\"") && $0.hasSuffix("v\"}") })
        #expect(output.droppedLineCount == 0)
    }

    @Test func aLineThatCannotBeWrittenIsCounted() {
        let output = LogOutput(descriptor: -1, format: .json)
        Log(output).error("lost")
        #expect(output.droppedLineCount == 1)
    }

    @Test func levelAndFormatCanBeSetLater() {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.writeEnd, now: { Self.moment })
        // A pipe is no terminal.
        #expect(output.format == .json)
        output.setFormat(.text)
        output.level = .debug
        Log(output).debug("now")
        #expect(String(decoding: pipe.content(), as: UTF8.self) == "2026-01-31T23:59:59.042Z debug   now\n")
        #expect(LogLevel(name: "warning") == .warning)
        #expect(LogLevel(name: "loud") == nil)
    }
}

@Suite struct LogTimeTests {
    private func text(_ milliseconds: Int64) -> String {
        var bytes: [UInt8] = []
        LogTime(millisecondsSinceEpoch: milliseconds).append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func knownMoments() {
        #expect(text(0) == "1970-01-01T00:00:00.000Z")
        #expect(text(-1) == "1969-12-31T23:59:59.999Z")
        #expect(text(951_782_400_000) == "2000-02-29T00:00:00.000Z")
        #expect(text(4_107_542_399_999) == "2100-02-28T23:59:59.999Z")
        #expect(text(4_107_542_400_000) == "2100-03-01T00:00:00.000Z")
        #expect(text(.max) == "9999-12-31T23:59:59.999Z")
        #expect(text(.min) == "0000-01-01T00:00:00.000Z")
    }

    /// `gmtime_r` is the model.
    @Test func everyDayOfFiveCenturiesAgreesWithTheCLibrary() {
        func padded(_ value: Int32, _ count: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, count - digits.count)) + digits
        }
        var wrong: [Int64] = []
        for day in Int64(-100_000)...100_000 {
            var seconds = time_t(day * 86_400 + 12_345)
            var broken = tm()
            gmtime_r(&seconds, &broken)
            let date =
                "\(padded(broken.tm_year + 1900, 4))-\(padded(broken.tm_mon + 1, 2))-\(padded(broken.tm_mday, 2))"
            if text(Int64(seconds) * 1000) != "\(date)T03:25:45.000Z" { wrong.append(day) }
        }
        #expect(wrong.isEmpty)
    }
}

@Suite struct RateLimitedLogTests {
    @Test func theFirstPassesThenCountsOfSuppressedOnes() {
        let pipe = Pipe()
        let second = Mutex(0)
        let output = LogOutput(descriptor: pipe.writeEnd, format: .json)
        let limited = RateLimitedLog(Log(output), interval: .seconds(10)) { .seconds(second.withLock { $0 }) }
        for attempt in 0..<25 {
            second.withLock { $0 = attempt }
            limited.warning("slow", [.attempt: LogValue(attempt)])
        }
        limited.flush()
        limited.flush()
        let lines = String(decoding: pipe.content(), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[0].hasSuffix("\"attempt\":0}"))
        #expect(lines[1].hasSuffix("\"attempt\":10,\"suppressed\":9}"))
        #expect(lines[2].hasSuffix("\"attempt\":20,\"suppressed\":9}"))
        #expect(lines[3].hasSuffix("\"message\":\"slow\",\"suppressed\":4}"))
    }

    @Test func aLevelThatIsOffCountsNothing() {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.writeEnd, level: .error, format: .json)
        let limited = RateLimitedLog(Log(output), now: { .zero })
        limited.warning("off")
        limited.error("on")
        limited.error("on")
        limited.flush()
        let lines = String(decoding: pipe.content(), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[1].hasSuffix("\"suppressed\":1}"))
    }
}
