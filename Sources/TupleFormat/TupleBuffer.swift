import CSystem
import Glibc
import JSONBytes

/// Growing memory for one writer. Kept between uses, so that a message in it costs no allocation. Not a class: each
/// access to a class's storage is checked for exclusivity at run time.
struct TupleBuffer: ~Copyable {
    private(set) var base: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 4096) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    mutating func removeAll() { count = 0 }

    mutating func truncate(to length: Int) {
        precondition(length <= count, "\(length) of \(count) bytes")
        count = length
    }

    /// Makes room for `more` bytes behind those that are there.
    @inline(__always)
    mutating func reserve(_ more: Int) {
        if capacity &- count < more { grow(more) }
    }

    private mutating func grow(_ more: Int) {
        capacity = max(capacity * 2, count + more)
        let grown = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        grown.update(from: base, count: count)
        base.deallocate()
        base = grown
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        reserve(1)
        base[count] = byte
        count &+= 1
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(UnsafeRawPointer(text.utf8Start), text.utf8CodeUnitCount)
    }

    @inline(__always)
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if let start = bytes.baseAddress { append(start, bytes.count) }
    }

    @inline(__always)
    mutating func append(_ start: UnsafeRawPointer, _ length: Int) {
        reserve(length)
        memcpy(base + count, start, length)
        count &+= length
    }

    mutating func append(_ number: Int64) {
        reserve(20)
        var rest = number.magnitude
        if number < 0 { append(UInt8(ascii: "-")) }
        let start = count
        repeat {
            base[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
            count += 1
        } while rest > 0
        var digits = UnsafeMutableBufferPointer(start: base + start, count: count - start)
        digits.reverse()
    }

    /// JSON text whose values are whole: line ends stand between tokens only and become blanks.
    mutating func append(json: UnsafeRawBufferPointer) {
        let start = count
        append(json)
        blank(0x0A, from: start)
        blank(0x0D, from: start)
    }

    private mutating func blank(_ byte: UInt8, from start: Int) {
        var at = start
        while true {
            at += millrace_find_byte(base + at, count - at, byte)
            guard at < count else { return }
            base[at] = 0x20
        }
    }

    /// A JSON string. Bytes that are not UTF-8 are taken as ISO 8859-1, so that none is lost.
    mutating func append(quoted text: UnsafeRawBufferPointer) {
        append(UInt8(ascii: "\""))
        if let start = text.baseAddress?.assumingMemoryBound(to: UInt8.self) {
            let ascii = millrace_ascii_end(start, 0, text.count)
            let isUTF8 =
                ascii == text.count
                || UTF8Check.firstInvalidOffset(UnsafeRawBufferPointer(rebasing: text[ascii...])) == nil
            if isUTF8 { append(escaped: start, text.count) } else { append(latin: text) }
        }
        append(UInt8(ascii: "\""))
    }

    mutating func append(quoted text: String) {
        var text = text
        text.withUTF8 { append(quoted: UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    private mutating func append(escaped start: UnsafePointer<UInt8>, _ length: Int) {
        var at = 0
        while true {
            let end = millrace_json_plain_end(start, at, length)
            if end > at { append(UnsafeRawPointer(start + at), end - at) }
            guard end < length else { return }
            append(escape: start[end])
            at = end + 1
        }
    }

    private mutating func append(escape byte: UInt8) {
        append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): append(byte)
        case 0x0A: append(UInt8(ascii: "n"))
        case 0x0D: append(UInt8(ascii: "r"))
        case 0x09: append(UInt8(ascii: "t"))
        case 0x08: append(UInt8(ascii: "b"))
        case 0x0C: append(UInt8(ascii: "f"))
        default:
            append("u00")
            append(Self.hexDigit(byte >> 4))
            append(Self.hexDigit(byte & 15))
        }
    }

    private mutating func append(latin text: UnsafeRawBufferPointer) {
        for byte in text {
            if byte >= 0x80 {
                append(0xC0 | byte >> 6)
                append(0x80 | byte & 0x3F)
            } else if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                append(escape: byte)
            } else {
                append(byte)
            }
        }
    }

    /// Eight hexadecimal digits in quotation marks.
    mutating func append(hex number: UInt32) {
        append(UInt8(ascii: "\""))
        for shift in stride(from: UInt32(28), through: 0, by: -4) {
            append(Self.hexDigit(UInt8(truncatingIfNeeded: number >> shift) & 15))
        }
        append(UInt8(ascii: "\""))
    }

    mutating func append(base64 data: UnsafeRawBufferPointer) {
        var text: [UInt8] = []
        Base64.append(data, to: &text)
        append(UInt8(ascii: "\""))
        text.withUnsafeBytes { append($0) }
        append(UInt8(ascii: "\""))
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
