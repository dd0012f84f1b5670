import CISAL
import CapturedTraffic
import Glibc
import TrafficLog

/// An archive as a source of records.
final class TrafficArchiveReader: TrafficSource {
    let location: String
    private let reader: ArchiveLineReader

    init(path: String) throws(TrafficFailure) {
        location = path
        do throws(TrafficLogError) {
            reader = try ArchiveLineReader(path: path)
        } catch {
            throw TrafficFailure(error)
        }
    }

    func next() throws(TrafficFailure) -> SourceRecord? {
        let line: ArchiveLineReader.Line?
        do throws(TrafficLogError) {
            line = try reader.next()
        } catch {
            throw TrafficFailure(error)
        }
        switch line {
        case nil: return nil
        case .unreadable(let reason, _): throw TrafficFailure(.unreadable, reason)
        case .record(let record):
            return SourceRecord(
                key: record.key, value: record.value, position: "line \(reader.lineNumber)",
                timestampMilliseconds: record.timestampMilliseconds)
        }
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
