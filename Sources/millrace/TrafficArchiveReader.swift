import CISAL
import CapturedTraffic
import Glibc

/// Reads an archive line by line, gzip (also several members) or plain. Holds one line and a block of each kind.
final class TrafficArchiveReader: TrafficSource {
    private static let blockBytes = 1 << 20
    /// The largest record in base64, with room for its key.
    private static let lineBytesLimit = (1 << 28) / 3 * 4 + (1 << 16)

    let location: String
    private let descriptor: Int32
    /// nil for a plain file.
    private var inflater: UnsafeMutableRawPointer?
    private var compressed: [UInt8] = []
    private var compressedStart = 0
    private var text: [UInt8] = []
    private var textStart = 0
    private var lineNumber = 0
    private var isAtEnd = false

    init(path: String) throws(TrafficFailure) {
        location = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw TrafficFailure(.unavailable, "\(path): \(String(cString: strerror(errno)))")
        }
        try fill()
        if compressed.starts(with: [0x1F, 0x8B]) {
            inflater = millrace_gunzip_stream_new()
            guard inflater != nil else { throw TrafficFailure(.fault, "\(path): out of memory") }
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if let inflater { millrace_gunzip_stream_free(inflater) }
    }

    func next() throws(TrafficFailure) -> SourceRecord? {
        while let line = try nextLine() {
            lineNumber += 1
            let parsed: TrafficArchiveLine?
            do throws(TrafficArchiveLine.Failure) {
                let slice = text[line]
                let result = slice.withUnsafeBytes { bytes in
                    Result { () throws(TrafficArchiveLine.Failure) in try TrafficArchiveLine.parse(bytes) }
                }
                parsed = try result.get()
            } catch {
                throw TrafficFailure(.unreadable, "\(location), line \(lineNumber): \(error.message)")
            }
            guard let parsed else { continue }
            return SourceRecord(
                key: parsed.key, value: parsed.value, position: "line \(lineNumber)", timestampMilliseconds: nil)
        }
        return nil
    }

    /// The next line's place in `text`, without its line feed. The last line may lack one.
    private func nextLine() throws(TrafficFailure) -> Range<Int>? {
        var searched = textStart
        while true {
            if let end = newline(from: searched) {
                defer { textStart = end + 1 }
                return textStart..<end
            }
            searched = text.count
            if isAtEnd {
                defer { textStart = text.count }
                return textStart < text.count ? textStart..<text.count : nil
            }
            guard text.count - textStart <= Self.lineBytesLimit else {
                isAtEnd = true
                textStart = text.count
                throw TrafficFailure(.unreadable, "\(location), line \(lineNumber + 1): longer than any record")
            }
            if textStart > 0 {
                text.removeSubrange(..<textStart)
                searched -= textStart
                textStart = 0
            }
            try appendText()
        }
    }

    private func newline(from start: Int) -> Int? {
        text.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, start < bytes.count,
                let found = memchr(base + start, 0x0A, bytes.count - start)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }

    /// Adds a block to `text`, or notes the end.
    private func appendText() throws(TrafficFailure) {
        if compressedStart == compressed.count { try fill() }
        guard let inflater else {
            text.append(contentsOf: compressed[compressedStart...])
            compressedStart = compressed.count
            isAtEnd = compressed.isEmpty
            return
        }
        guard !compressed.isEmpty else {
            isAtEnd = true
            guard millrace_gunzip_stream_may_end(inflater) != 0 else {
                throw TrafficFailure(.unreadable, "\(location): the gzip file is cut off")
            }
            return
        }
        var consumed = 0
        var written = 0
        let old = text.count
        text.append(contentsOf: repeatElement(0, count: Self.blockBytes))
        let code = compressed.withUnsafeBufferPointer { input in
            text.withUnsafeMutableBufferPointer { output -> Int32 in
                guard let from = input.baseAddress, let to = output.baseAddress else { return 0 }
                return millrace_gunzip_stream_next(
                    inflater, from + compressedStart, input.count - compressedStart, &consumed, to + old,
                    output.count - old, &written)
            }
        }
        text.removeLast(text.count - old - written)
        compressedStart += consumed
        guard code == 0 else {
            isAtEnd = true
            throw TrafficFailure(.unreadable, "\(location): not gzip, or damaged (isa-l says \(code))")
        }
    }

    /// Reads the next block of the file; `compressed` is empty at its end.
    private func fill() throws(TrafficFailure) {
        compressedStart = 0
        var count = -1
        let descriptor = descriptor
        compressed = [UInt8](unsafeUninitializedCapacity: Self.blockBytes) { bytes, filled in
            repeat { count = read(descriptor, bytes.baseAddress, bytes.count) } while count < 0 && errno == EINTR
            filled = max(0, count)
        }
        guard count >= 0 else { throw TrafficFailure(.unavailable, "\(location): \(String(cString: strerror(errno)))") }
    }
}

/// Writes an archive beside its place and renames it there once it is whole. Each block is a gzip member, which every
/// reader of gzip joins.
struct TrafficArchiveWriter: ~Copyable {
    private static let blockBytes = 4 << 20

    private let path: String
    private let descriptor: Int32
    private var text: [UInt8] = []
    private(set) var recordCount = 0

    init(path: String) throws(TrafficFailure) {
        self.path = path
        descriptor = open(path + ".part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw TrafficFailure(.unavailable, "\(path).part: \(String(cString: strerror(errno)))")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    mutating func append(key: [UInt8], value: [UInt8]) throws(TrafficFailure) {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { TrafficArchiveLine.append(key: key, value: $0, to: &text) }
        }
        recordCount += 1
        if text.count >= Self.blockBytes { try flush() }
    }

    mutating func finish() throws(TrafficFailure) {
        if !text.isEmpty || recordCount == 0 { try flush() }
        guard fsync(descriptor) == 0, rename(path + ".part", path) == 0 else { throw failure() }
    }

    private mutating func flush() throws(TrafficFailure) {
        let text = self.text
        self.text.removeAll(keepingCapacity: true)
        let packed = [UInt8](unsafeUninitializedCapacity: millrace_gzip_bound(text.count)) { bytes, count in
            count = millrace_gzip(text, text.count, bytes.baseAddress, bytes.count)
        }
        guard !packed.isEmpty else { throw TrafficFailure(.fault, "\(path): gzip failed") }
        var start = 0
        while start < packed.count {
            let descriptor = descriptor
            let count = packed.withUnsafeBytes { bytes in
                bytes.baseAddress.map { Glibc.write(descriptor, $0 + start, bytes.count - start) } ?? -1
            }
            if count > 0 { start += count } else if errno != EINTR { throw failure() }
        }
    }

    private func failure() -> TrafficFailure {
        TrafficFailure(.unavailable, "\(path): \(String(cString: strerror(errno)))")
    }
}
