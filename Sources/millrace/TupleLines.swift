import CISAL
import CZstd
import Glibc

/// Reads a file line by line: gzip (also several members), zstd (also several frames) or plain. Holds a block of each
/// kind and one line.
final class TupleLines {
    private static let blockBytes = 1 << 20
    /// Longer lines are passed over: four bodies that were never cut, in base64.
    private static let lineBytesLimit = 1 << 30

    private enum Packing {
        case plain
        case gzip(UnsafeMutableRawPointer)
        case zstd(OpaquePointer)
    }

    let path: String
    private(set) var lineNumber = 0
    private let descriptor: Int32
    private var packing = Packing.plain
    /// The packed data ended with a whole member or frame.
    private var isWhole = true
    /// The unpacker may hold more text than there was room for.
    private var mayHoldMore = false
    private var packed: [UInt8] = []
    private var packedStart = 0
    private var text: [UInt8] = []
    private var textStart = 0
    private var isAtEnd = false

    init(path: String) throws(TrafficFailure) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw TrafficFailure(.unavailable, "\(path): \(String(cString: strerror(errno)))")
        }
        try fill()
        if packed.starts(with: [0x1F, 0x8B]) {
            guard let stream = millrace_gunzip_stream_new() else { throw outOfMemory }
            packing = .gzip(stream)
        } else if packed.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
            guard let stream = ZSTD_createDStream() else { throw outOfMemory }
            packing = .zstd(stream)
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        switch packing {
        case .plain: break
        case .gzip(let stream): millrace_gunzip_stream_free(stream)
        case .zstd(let stream): ZSTD_freeDStream(stream)
        }
    }

    private var outOfMemory: TrafficFailure { TrafficFailure(.fault, "\(path): out of memory") }

    /// Calls `body` with the next line, without its line feed; false at the end. What is thrown for damage comes after
    /// all lines before it were given; the file ends there.
    func next(_ body: (UnsafeRawBufferPointer) -> Void) throws(TrafficFailure) -> Bool {
        var searched = textStart
        while true {
            if let end = lineEnd(from: searched) {
                give(textStart..<end, body)
                textStart = end + 1
                return true
            }
            searched = text.count
            if isAtEnd {
                guard textStart < text.count else { return false }
                give(textStart..<text.count, body)
                textStart = text.count
                return true
            }
            guard text.count - textStart <= Self.lineBytesLimit else {
                end()
                throw TrafficFailure(.unreadable, "\(path), line \(lineNumber + 1): longer than any tuple")
            }
            if textStart > 0 {
                text.removeSubrange(..<textStart)
                searched -= textStart
                textStart = 0
            }
            try unpack()
        }
    }

    private func give(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        lineNumber += 1
        text.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private func lineEnd(from start: Int) -> Int? {
        text.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, start < bytes.count,
                let found = memchr(base + start, 0x0A, bytes.count - start)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }

    /// What is left of a line that was cut off is no tuple.
    private func end() {
        isAtEnd = true
        text.removeAll()
        textStart = 0
    }

    /// Adds a block to `text`, or notes the end.
    private func unpack() throws(TrafficFailure) {
        if packedStart == packed.count, !mayHoldMore { try fill() }
        if case .plain = packing {
            text.append(contentsOf: packed[packedStart...])
            packedStart = packed.count
            isAtEnd = packed.isEmpty
            return
        }
        guard !packed.isEmpty else {
            guard isWhole else {
                end()
                throw TrafficFailure(.unreadable, "\(path): the file is cut off behind line \(lineNumber)")
            }
            isAtEnd = true
            return
        }
        let old = text.count
        text.append(contentsOf: repeatElement(0, count: Self.blockBytes))
        var consumed = 0
        var written = 0
        let isGood = packed.withUnsafeBufferPointer { input in
            text.withUnsafeMutableBufferPointer { output -> Bool in
                guard let from = input.baseAddress, let to = output.baseAddress else { return true }
                return unpack(
                    from + packedStart, input.count - packedStart, &consumed, to + old, output.count - old, &written)
            }
        }
        text.removeLast(text.count - old - written)
        packedStart += consumed
        mayHoldMore = written == Self.blockBytes
        guard isGood else {
            end()
            throw TrafficFailure(.unreadable, "\(path): damaged behind line \(lineNumber)")
        }
    }

    private func unpack(
        _ from: UnsafePointer<UInt8>, _ count: Int, _ consumed: inout Int, _ to: UnsafeMutablePointer<UInt8>,
        _ room: Int, _ written: inout Int
    ) -> Bool {
        switch packing {
        case .plain: return true
        case .gzip(let stream):
            let code = millrace_gunzip_stream_next(stream, from, count, &consumed, to, room, &written)
            isWhole = millrace_gunzip_stream_may_end(stream) != 0
            return code == 0
        case .zstd(let stream):
            var input = ZSTD_inBuffer(src: from, size: count, pos: 0)
            var output = ZSTD_outBuffer(dst: to, size: room, pos: 0)
            let code = ZSTD_decompressStream(stream, &output, &input)
            isWhole = code == 0
            (consumed, written) = (input.pos, output.pos)
            return ZSTD_isError(code) == 0
        }
    }

    /// Reads the next block of the file; `packed` is empty at its end.
    private func fill() throws(TrafficFailure) {
        packedStart = 0
        var count = -1
        let descriptor = descriptor
        packed = [UInt8](unsafeUninitializedCapacity: Self.blockBytes) { bytes, filled in
            repeat { count = read(descriptor, bytes.baseAddress, bytes.count) } while count < 0 && errno == EINTR
            filled = max(0, count)
        }
        guard count >= 0 else { throw TrafficFailure(.unavailable, "\(path): \(String(cString: strerror(errno)))") }
    }
}
