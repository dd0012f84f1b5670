import CISAL
import Glibc
import TestSupport

@testable import TupleFormat

/// The parts of a message, kept while a tuple of them is used.
struct SampleMessage {
    var head: String
    var body: [UInt8] = []
    var isFramed = true
    var time: Int?
    /// Where the body is cut into slices.
    var cuts: [Int] = []

    init(_ head: String, _ body: String = "", framed: Bool = true, time: Int? = nil) {
        self.init(head, Array(body.utf8), framed: framed, time: time)
    }

    init(_ head: String, _ body: [UInt8], framed: Bool = true, time: Int? = nil) {
        self.head = head
        self.body = body
        isFramed = framed
        self.time = time
    }
}

struct SampleTuple {
    var connection = "c"
    var number = 0
    var sourceRequest: SampleMessage?
    var sourceResponse: SampleMessage?
    var targetRequest: SampleMessage?
    var targetResponses: [SampleMessage] = []
    var error: String?
    var numErrors = 0
    var sourceTime: Int64?
    var verdict: TupleVerdict?

    func withTuple<Result>(_ body: (Tuple) throws -> Result) rethrows -> Result {
        var owned: [UnsafeMutableRawBufferPointer] = []
        defer { for bytes in owned { bytes.deallocate() } }
        func copy(_ bytes: some Collection<UInt8>) -> UnsafeRawBufferPointer {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            memory.copyBytes(from: bytes)
            owned.append(memory)
            return UnsafeRawBufferPointer(memory)
        }
        func message(_ sample: SampleMessage?) -> TupleMessage? {
            guard let sample else { return nil }
            var start = 0
            var slices: [UnsafeRawBufferPointer] = []
            for cut in sample.cuts + [sample.body.count] {
                slices.append(copy(sample.body[start..<cut]))
                start = cut
            }
            return TupleMessage(
                head: copy(sample.head.utf8), body: slices, isBodyFramed: sample.isFramed,
                responseTimeMilliseconds: sample.time)
        }
        return try body(
            Tuple(
                connectionID: copy(connection.utf8), requestNumber: number, sourceTimeMilliseconds: sourceTime,
                sourceRequest: message(sourceRequest), sourceResponse: message(sourceResponse),
                targetRequest: message(targetRequest), targetResponses: targetResponses.compactMap(message),
                error: error, numErrors: numErrors, verdict: verdict))
    }

    func line(_ settings: TupleEncoder.Settings = .reference) -> String {
        var encoder = TupleEncoder(settings)
        var line: [UInt8] = []
        withTuple { encoder.encode($0, into: &line) }
        return String(decoding: line, as: UTF8.self)
    }

    func verdict(_ rules: TupleRules = TupleRules()) -> TupleVerdict {
        var comparator = TupleComparator(rules)
        return withTuple { comparator.compare($0) }
    }
}

extension TupleEncoder.Settings {
    /// As the reference writes.
    static var reference: Self {
        var settings = Self()
        settings.keepsCredentials = true
        settings.bodyBytesLimit = 0
        return settings
    }

    static func limit(_ bytes: Int) -> Self {
        var settings = Self()
        settings.bodyBytesLimit = bytes
        return settings
    }
}

func gzipped(_ bytes: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: millrace_gzip_bound(bytes.count)) { packed, count in
        count = millrace_gzip(bytes, bytes.count, packed.baseAddress, packed.count)
    }
}
