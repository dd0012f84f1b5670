import CISAL
import CapturedTraffic
import Glibc

/// Reads an archive line by line, gzip (also several members) or plain. Holds one line and a block of each kind.
/// For the forms of a line see `TrafficArchiveLine`.
package final class ArchiveLineReader {
    package enum Line: Sendable, Equatable {
        case record(TrafficArchiveLine)
        /// `reason` names the file and the line.
        case unreadable(reason: String, bytes: [UInt8])
    }

    private static let blockBytes = 1 << 20
    /// The largest record in base64, with room for its key.
    private static let lineBytesLimit = (1 << 28) / 3 * 4 + (1 << 16)

    package let path: String
    /// Of the line that was read last, from 1.
    package private(set) var lineNumber = 0

    private let descriptor: Int32
    /// nil for a plain file.
    private var inflater: UnsafeMutableRawPointer?
    private var compressed: [UInt8] = []
    private var compressedStart = 0
    private var text: [UInt8] = []
    private var textStart = 0
    private var isAtEnd = false
    /// Why nothing follows; told after the whole lines in front of it.
    private var damage: TrafficLogError?

    package init(path: String) throws(TrafficLogError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileLogFailure.system(errno, path, "the archive cannot be opened") }
        try fill()
        if compressed.starts(with: [0x1F, 0x8B]) {
            inflater = millrace_gunzip_stream_new()
            guard inflater != nil else { throw TrafficLogError(.unavailable, "\(path): out of memory") }
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if let inflater { millrace_gunzip_stream_free(inflater) }
    }

    /// The next line that is not empty; nil at the end. After damage, which is `.corrupt`, there is nothing more.
    package func next() throws(TrafficLogError) -> Line? {
        while let line = try nextLine() {
            lineNumber += 1
            let slice = text[line]
            do throws(TrafficArchiveLine.Failure) {
                let parsed = slice.withUnsafeBytes { bytes in
                    Result { () throws(TrafficArchiveLine.Failure) in try TrafficArchiveLine.parse(bytes) }
                }
                guard let record = try parsed.get() else { continue }
                return .record(record)
            } catch {
                return .unreadable(reason: "\(path), line \(lineNumber): \(error.message)", bytes: Array(slice))
            }
        }
        return nil
    }

    /// Passes over lines, whatever they hold, until `lineNumber` is `count` or the end is reached.
    package func skip(to count: Int) throws(TrafficLogError) {
        while lineNumber < count, try nextLine() != nil { lineNumber += 1 }
    }

    /// The next line's place in `text`, without its line feed. The last line may lack one.
    private func nextLine() throws(TrafficLogError) -> Range<Int>? {
        var searched = textStart
        while true {
            if let end = newline(from: searched) {
                defer { textStart = end + 1 }
                return textStart..<end
            }
            searched = text.count
            if let damage {
                self.damage = nil
                textStart = text.count
                throw damage
            }
            if isAtEnd {
                defer { textStart = text.count }
                return textStart < text.count ? textStart..<text.count : nil
            }
            guard text.count - textStart <= Self.lineBytesLimit else {
                giveUp("line \(lineNumber + 1): longer than any record")
                continue
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

    /// Adds a block to `text`, or notes the end or the damage.
    private func appendText() throws(TrafficLogError) {
        if compressedStart == compressed.count { try fill() }
        guard let inflater else {
            text.append(contentsOf: compressed[compressedStart...])
            compressedStart = compressed.count
            isAtEnd = compressed.isEmpty
            return
        }
        guard !compressed.isEmpty else {
            isAtEnd = true
            if millrace_gunzip_stream_may_end(inflater) == 0 { giveUp("the gzip file is cut off") }
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
        if code != 0 { giveUp("not gzip, or damaged (isa-l says \(code))") }
    }

    /// Reads the next block of the file; `compressed` is empty at its end.
    private func fill() throws(TrafficLogError) {
        compressedStart = 0
        var count = -1
        let descriptor = descriptor
        compressed = [UInt8](unsafeUninitializedCapacity: Self.blockBytes) { bytes, filled in
            repeat { count = read(descriptor, bytes.baseAddress, bytes.count) } while count < 0 && errno == EINTR
            filled = max(0, count)
        }
        guard count >= 0 else { throw FileLogFailure.system(errno, path, "the archive cannot be read") }
    }

    private func giveUp(_ reason: String) {
        isAtEnd = true
        damage = TrafficLogError(.corrupt, "\(path): \(reason)", file: path)
    }
}
