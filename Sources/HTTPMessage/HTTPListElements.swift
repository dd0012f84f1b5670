import CSystem

/// Walks the elements of a comma-separated list of tokens (RFC 9110 §5.6.1). Empty elements are skipped, as recipients
/// must, or malformed, where recipients are known to disagree.
struct HTTPListElements {
    private let base: UnsafePointer<UInt8>
    private var position: Int
    private let end: Int
    private let allowsEmpty: Bool

    init(_ base: UnsafePointer<UInt8>, _ value: Range<Int>, allowsEmpty: Bool = true) {
        self.base = base
        self.allowsEmpty = allowsEmpty
        position = value.lowerBound
        end = value.upperBound
    }

    enum Element {
        case token(Range<Int>)
        /// Something else than a token stands at this offset.
        case malformed(Int)
        case end
    }

    mutating func next() -> Element {
        while position < end, isSpace(base[position]) || (allowsEmpty && base[position] == UInt8(ascii: ",")) {
            position += 1
        }
        guard position < end else { return .end }
        let start = position
        position = millrace_http_token_end(base, position, end)
        let tokenEnd = position
        while position < end, isSpace(base[position]) { position += 1 }
        guard tokenEnd > start, position == end || base[position] == UInt8(ascii: ",") else {
            return .malformed(position)
        }
        if !allowsEmpty, position < end {
            position += 1
            guard position < end else { return .malformed(position) }
        }
        return .token(start..<tokenEnd)
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
