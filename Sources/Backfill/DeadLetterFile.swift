import BulkFormat
import Glibc
import JSONBytes
import Synchronization

/// A document or an index that was left out, and why.
package struct DeadLetter: Sendable {
    package enum Reason: String, Sendable {
        /// The target refused the document for good.
        case rejected
        /// The target put the document off until the time given for retries was over.
        case retriesExhausted = "retries_exhausted"
        /// The document has no stored `_source`.
        case noSource = "no_stored_source"
        /// The stored `_source` is not JSON.
        case unsupportedEncoding = "unsupported_source_encoding"
        /// The whole index keeps no `_source`.
        case indexWithoutSource = "index_without_source"
        /// The snapshot does not hold the shard.
        case missingShard = "missing_shard"
        /// Its segments are of a version that is not read.
        case unsupportedIndex = "unsupported_index"
    }

    package var index: String
    package var shard: Int?
    package var segment: String?
    package var docID: Int?
    /// The document's action line as it was sent: operation, id and routing.
    package var action: [UInt8]?
    package var reason: Reason
    /// For a person: what was found.
    package var detail: String
    /// The stored bytes.
    package var source: [UInt8]?
    /// HTTP status of the item or of the request that held it alone.
    package var status: Int?
    /// The target's answer, JSON as it came.
    package var answer: [UInt8]?
}

/// The dead-letter file: one JSON object a line for everything that was left out, appended in the order of discovery.
///
/// A checkpoint may pass a document only when its record is on disk: `sync` comes before every `save`. After a kill,
/// documents beyond the checkpoint are tried again, so a record may stand twice; `index`, `shard`, `segment` and `doc`
/// tell it.
// Sound: everything mutable is used only while `lock` is held.
final class DeadLetterFile: Sendable {
    struct Failure: Error {
        let message: String
    }

    private struct State {
        var buffer: [UInt8] = []
        var isDirty = false
        var recordCount = 0
    }

    let path: String
    private let descriptor: Int32
    private let lock = Mutex(State())

    /// A buffer that reaches this is written at once.
    private static let bufferLimitBytes = 1 << 20

    init(path: String) throws(Failure) {
        self.path = path
        // Read too: the end of what a killed process left is looked at.
        descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Failure(message: "dead-letter file \(path): \(String(cString: strerror(errno)))")
        }
        if Self.endsWithinLine(descriptor) { lock.withLock { $0.buffer = [0x0A] } }
    }

    /// A line that a kill or a full disk tore must not swallow the next one.
    private static func endsWithinLine(_ descriptor: Int32) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else {
            return false
        }
        var last: UInt8 = 0x0A
        return pread(descriptor, &last, 1, status.st_size - 1) == 1 && last != 0x0A
    }

    deinit { close(descriptor) }

    var recordCount: Int { lock.withLock { $0.recordCount } }

    /// Adds a record. It is on disk after the next `sync`.
    func append(_ letter: DeadLetter) throws(Failure) {
        let line = DeadLetterLine.encode(letter)
        try lock.withLock { (state) throws(Failure) in
            state.buffer += line
            state.recordCount += 1
            state.isDirty = true
            if state.buffer.count >= Self.bufferLimitBytes { try write(&state) }
        }
    }

    /// Returns when everything appended so far is on disk.
    func sync() throws(Failure) {
        try lock.withLock { (state) throws(Failure) in
            guard state.isDirty else { return }
            try write(&state)
            // A special file such as /dev/null cannot be synced.
            guard fdatasync(descriptor) == 0 || errno == EINVAL else { throw failure() }
            state.isDirty = false
        }
    }

    private func write(_ state: inout State) throws(Failure) {
        var written = 0
        while written < state.buffer.count {
            let count = state.buffer.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
            }
            if count < 0 {
                if errno == EINTR { continue }
                state.buffer.removeFirst(written)
                throw failure()
            }
            written += count
        }
        state.buffer.removeAll(keepingCapacity: true)
    }

    private func failure() -> Failure {
        Failure(message: "dead-letter file \(path): \(String(cString: strerror(errno)))")
    }
}

/// Writes a dead letter as one line of JSON.
enum DeadLetterLine {
    /// Longer values are not parsed: a tree of their values would need many times their memory.
    private static let parsedBytesLimit = 4 << 20

    static func encode(_ letter: DeadLetter) -> [UInt8] {
        var line = JSONWriter()
        line.beginObject()
        add("index", letter.index, to: &line)
        add("shard", letter.shard, to: &line)
        if let segment = letter.segment { add("segment", segment, to: &line) }
        add("doc", letter.docID, to: &line)
        add("request", "requestBase64", letter.action, to: &line)
        add("reason", letter.reason.rawValue, to: &line)
        add("detail", letter.detail, to: &line)
        add("status", letter.status, to: &line)
        add("source", "sourceBase64", letter.source, to: &line)
        add("answer", "answerBase64", letter.answer, to: &line)
        line.endObject()
        return line.bytes + [0x0A]
    }

    private static func add(_ name: String, _ text: String, to line: inout JSONWriter) {
        line.key(name)
        line.string(text)
    }

    private static func add(_ name: String, _ number: Int?, to line: inout JSONWriter) {
        guard let number else { return }
        line.key(name)
        line.int(number)
    }

    /// The value as it is when it is JSON, else in base64 under another name: engines store sources that are not quite
    /// JSON, and a target's answer may be a proxy's. A line is valid JSON whatever it holds.
    private static func add(_ name: String, _ base64Name: String, _ value: [UInt8]?, to line: inout JSONWriter) {
        guard let value else { return }
        if value.count <= parsedBytesLimit, (try? JSONValue.parse(value)) != nil {
            line.key(name)
            line.raw(value.withUnsafeBytes { oneLine($0) })
        } else {
            line.key(base64Name)
            line.value(.binary(value))
        }
    }

    private static func oneLine(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        bytes.contains(0x0A) ? SourceLine.joined(bytes) : [UInt8](bytes)
    }
}
