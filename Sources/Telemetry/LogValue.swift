/// A value of log metadata.
package enum LogValue: Sendable, Equatable {
    case text(String)
    /// Bytes that should be UTF-8; what is not becomes U+FFFD.
    case bytes([UInt8])
    case integer(Int64)
    case number(Double)
    case truth(Bool)
    /// Written as seconds.
    case duration(Duration)

    package init(_ value: some BinaryInteger) { self = .integer(Int64(clamping: value)) }

    /// An error's own text. Errors carry no secret (see the conventions), so the text may be logged.
    package init(_ error: any Error) { self = .text(String(describing: error)) }
}

extension LogValue: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    package init(stringLiteral value: String) { self = .text(value) }
}

extension LogValue: ExpressibleByIntegerLiteral {
    package init(integerLiteral value: Int64) { self = .integer(value) }
}

extension LogValue: ExpressibleByFloatLiteral {
    package init(floatLiteral value: Double) { self = .number(value) }
}

extension LogValue: ExpressibleByBooleanLiteral {
    package init(booleanLiteral value: Bool) { self = .truth(value) }
}
