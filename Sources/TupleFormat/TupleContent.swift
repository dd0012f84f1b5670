import CISAL
import CSystem
import Glibc
import HTTPMessage

/// Takes a message's content out of its body: without the framing of chunks and the content codings gzip and deflate.
///
/// What it returns lies in the message or in this object, and is valid until the next call. Bodies that are longer than
/// the limit are measured, never gathered. Not shared between threads.
final class TupleContent {
    enum Coding {
        case none, gzip, deflate
        /// One that is not read, or several.
        case other
    }

    struct Found {
        enum Form {
            /// The content.
            case whole(UnsafeRawBufferPointer)
            /// Longer than the limit: the bytes as sent, still coded, are measured.
            case long(byteCount: Int, checksum: UInt32, start: UnsafeRawBufferPointer)
        }
        var form: Form
        /// What the bytes are still coded by. Beside `whole` it is set when the coding is not read or the bytes are not
        /// what it says.
        var coding = Coding.none
        /// The body is not framed as its head says.
        var fault: HTTPError?
    }

    private var pieces: [UnsafeRawBufferPointer] = []
    private var gathered = TupleBuffer()
    private var inflated: UnsafeMutablePointer<UInt8>?

    deinit { free(inflated) }

    /// `limit` is of the content in bytes. A coded body may be at most as long as that, too.
    func find(_ message: TupleMessage, _ head: HTTPHead, limit: Int) -> Found {
        var found = Found(form: .whole(UnsafeRawBufferPointer(start: nil, count: 0)))
        pieces.removeAll(keepingCapacity: true)
        var total = 0
        if message.isBodyFramed {
            found.fault = unframe(message.body, head.framing, &total)
        } else {
            for piece in message.body where !piece.isEmpty {
                pieces.append(piece)
                total += piece.count
            }
        }
        guard total > 0 else { return found }
        let coding = Self.coding(head, message.head)
        guard total <= limit else {
            found.form = long(total)
            found.coding = coding
            return found
        }
        let content = joined(total)
        found.form = .whole(content)
        guard coding != .none else { return found }
        found.coding = coding
        guard coding != .other, let start = content.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            return found
        }
        var count = 0
        free(inflated)
        inflated =
            coding == .gzip
            ? millrace_gunzip(start, content.count, limit, &count)
            : millrace_inflate_coding(start, content.count, limit, &count)
        if let inflated {
            found.form = .whole(UnsafeRawBufferPointer(start: inflated, count: count))
            found.coding = .none
        } else if count == limit {
            found.form = long(total)
        }
        return found
    }

    private func unframe(
        _ body: [UnsafeRawBufferPointer], _ framing: HTTPBodyFraming, _ total: inout Int
    ) -> HTTPError? {
        var scanner = HTTPBodyScanner(framing: framing)
        do throws(HTTPError) {
            for bytes in body {
                var position = 0
                while case .content(let range) = try scanner.next(in: bytes, at: &position) {
                    pieces.append(UnsafeRawBufferPointer(rebasing: bytes[range]))
                    total += range.count
                }
            }
            try scanner.endOfInput()
            return nil
        } catch {
            return error
        }
    }

    private func joined(_ total: Int) -> UnsafeRawBufferPointer {
        if pieces.count == 1 { return pieces[0] }
        gathered.removeAll()
        gathered.reserve(total)
        for piece in pieces { gathered.append(piece) }
        return gathered.bytes
    }

    private func long(_ total: Int) -> Found.Form {
        var checksum: UInt32 = 0
        for piece in pieces {
            guard let start = piece.baseAddress?.assumingMemoryBound(to: UInt8.self) else { continue }
            checksum = millrace_crc32(checksum, start, piece.count)
        }
        gathered.removeAll()
        for piece in pieces {
            let room = TupleEncoder.startBytes - gathered.count
            guard room > 0 else { break }
            gathered.append(UnsafeRawBufferPointer(rebasing: piece.prefix(room)))
        }
        return .long(byteCount: total, checksum: checksum, start: gathered.bytes)
    }

    static func coding(_ head: HTTPHead, _ bytes: UnsafeRawBufferPointer) -> Coding {
        guard let value = head.value(of: .contentEncoding) else { return .none }
        if value.isEmpty || HTTPHead.equals(bytes, value, "identity") { return .none }
        if HTTPHead.equals(bytes, value, "gzip") || HTTPHead.equals(bytes, value, "x-gzip") { return .gzip }
        return HTTPHead.equals(bytes, value, "deflate") ? .deflate : .other
    }
}
