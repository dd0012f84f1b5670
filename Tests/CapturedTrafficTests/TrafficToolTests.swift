import CISAL
import CapturedTraffic
import Glibc
import JSONBytes
import TestSupport
import Testing

/// `millrace traffic`, the built program. It lies beside the test bundle.
@Suite(.enabled(if: TrafficTool.path != nil)) struct TrafficToolTests {
    private let scratch: TemporaryFolder
    private let excerpt = TrafficFixtures.folder + "/reference-excerpt.ndjson"

    init() throws { scratch = try TemporaryFolder("traffic-tool") }

    private func run(_ words: [String]) throws -> (status: ChildProcess.Ending, output: String, errors: String) {
        let process = try ChildProcess([TrafficTool.path ?? "", "traffic"] + words, folder: scratch.path)
        return (process.wait(), process.outputText, process.errorText)
    }

    @Test func dumpPrintsEveryExchangeOfTheReference() throws {
        let found = try run(["dump", "--log", "archive:" + excerpt, "-o", "json"])
        #expect(found.status == .exited(0) && found.errors == "")
        let lines = found.output.split(separator: "\n")
        let expected = try TrafficFixtures.lines(TrafficFixtures.folder + "/reference-excerpt.expected.ndjson")
        #expect(lines.count == expected.count)
        var byName: [String: JSONValue] = [:]
        for line in expected {
            let value = try JSONValue.parse(line)
            byName["\(value["connection"]?.stringValue ?? "") \(value["request"]?.intValue ?? -1)"] = value
        }
        for line in lines {
            let value = try JSONValue.parse(Array(line.utf8))
            let name = "\(value["connection"]?.stringValue ?? "") \(value["request"]?.intValue ?? -1)"
            let named = byName.removeValue(forKey: name)
            let wanted = try #require(named)
            for member in ["node", "method", "target", "complete", "status"] {
                #expect(value[member] == wanted[member])
            }
            #expect(
                value["requestBytes"] == wanted["requestLength"] && value["responseBytes"] == wanted["responseLength"])
            #expect(value["requestHeaders"]?.arrayValue?.isEmpty == false && value["requestTime"]?.stringValue != nil)
        }
        #expect(byName.isEmpty)
    }

    @Test func importAndExportKeepEveryRecord() throws {
        let log = "file://" + scratch.path("log")
        #expect(try run(["import", "--archive", excerpt, "--log", log]).status == .exited(0))
        let archive = scratch.path("out.gz")
        #expect(try run(["export", "--log", log, "--archive", archive]).status == .exited(0))
        let exported = try TrafficFixtures.lines(archive)
        let original = try TrafficFixtures.lines(excerpt)
        // The archive's lines have no times.
        let parse = { (line: [UInt8]) in
            let record = try line.withUnsafeBytes { try TrafficArchiveLine.parse($0) }
            return [record?.key, record?.value]
        }
        #expect(try exported.map(parse) == original.map(parse))
        let fromLog = try run(["dump", "--log", log, "-o", "json"]).output
        let fromArchive = try run(["dump", "--log", archive, "-o", "json"]).output
        #expect(!fromLog.isEmpty && fromLog == fromArchive)
        #expect(access(archive + ".part", F_OK) != 0)
    }

    @Test func severalGzipMembersAreOneArchive() throws {
        let lines = try TrafficFixtures.lines(excerpt)
        var packed: [UInt8] = []
        for line in lines {
            let text = line + [0x0A]
            packed += [UInt8](unsafeUninitializedCapacity: millrace_gzip_bound(text.count)) { bytes, count in
                count = millrace_gzip(text, text.count, bytes.baseAddress, bytes.count)
            }
        }
        let path = try scratch.write("members.gz", packed)
        let found = try run(["dump", "--raw", "--log", path])
        #expect(found.status == .exited(0))
        #expect(found.output.split(separator: "\n").count { $0.hasPrefix("record line ") } == lines.count)
        let cut = try scratch.write("cut.gz", Array(packed.dropLast(5)))
        let partial = try run(["dump", "--raw", "--log", cut])
        #expect(partial.status == .exited(65) && partial.errors.contains("cut off"))
        let damaged = try scratch.write("damaged.gz", Array(packed[..<40]) + [0xFF, 0xFF, 0xFF] + Array(packed[43...]))
        #expect(try run(["dump", "--log", damaged]).status == .exited(65))
    }

    @Test func brokenRecordsAreToldAndTheOthersShown() throws {
        let lines = try TrafficFixtures.lines(excerpt)
        var text = lines[0] + [0x0A]
        text += Array("a|not base64!\nb|ClU=\n\n".utf8) + lines[1] + [0x0A]
        let path = try scratch.write("mixed.txt", text)
        let found = try run(["dump", "--raw", "-o", "json", "--log", "archive:" + path])
        #expect(found.status == .exited(65) && found.output.split(separator: "\n").count == 2)
        #expect(found.errors.contains("line 2: the record is not base64"))
        #expect(found.errors.contains("line 3: traffic record, byte 1"))
    }

    @Test func oneConnectionCanBeChosen() throws {
        let id = "02fc00fffe000001-00003180-00000001-f56474d05065ffc0-e159dab9"
        let found = try run(["dump", "--log", "archive:" + excerpt, "--connection", id])
        #expect(found.status == .exited(0) && found.output.hasPrefix("connection \(id)\nrequest 0, "))
        #expect(found.output.split(separator: "\n").count { $0.hasPrefix("request ") } == 1)
    }

    @Test(arguments: [
        [], ["what"], ["dump"], ["dump", "--log", "ftp://x"], ["dump", "--log", "a.gz", "-o", "xml"],
        ["export", "--log", "a.gz"],
        ["import", "--archive", "a.gz"], ["dump", "--log", "a.gz", "--archive", "b"], ["dump", "a.gz"],
    ])
    func wrongUsageIsSaid(words: [String]) throws {
        let found = try run(words)
        #expect(found.status == .exited(64) && found.output == "" && found.errors.hasPrefix("millrace traffic"))
    }

    @Test func missingFilesAndFoldersAreUnavailable() throws {
        #expect(try run(["dump", "--log", scratch.path("no.gz")]).status == .exited(69))
        #expect(try run(["dump", "--help"]).status == .exited(0))
        let intoNothing = scratch.path("no/out.gz")
        #expect(try run(["export", "--log", "archive:" + excerpt, "--archive", intoNothing]).status == .exited(69))
    }
}

enum TrafficTool {
    static let path: String? = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = own.lastIndex(of: "/") else { return nil }
        let path = own[..<slash] + "/millrace"
        return access(String(path), X_OK) == 0 ? String(path) : nil
    }()
}
