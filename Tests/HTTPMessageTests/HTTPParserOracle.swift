import CHTTPParser

/// What Node's http_parser (strict mode) says about one message.
final class HTTPParserOracle {
    fileprivate(set) var method = ""
    fileprivate(set) var target: [UInt8] = []
    fileprivate(set) var status = 0
    fileprivate(set) var minorVersion = 0
    fileprivate(set) var fields: [(name: [UInt8], value: [UInt8])] = []
    fileprivate(set) var trailers: [(name: [UInt8], value: [UInt8])] = []
    fileprivate(set) var body: [UInt8] = []
    fileprivate(set) var isComplete = false
    /// Bytes up to the message's end, once complete.
    fileprivate(set) var byteCount = 0
    /// The parser's own error, nil when it only ran out of bytes or stopped at the message's end.
    fileprivate(set) var errorName: String?

    fileprivate var isHeadComplete = false
    fileprivate var isInValue = false
    fileprivate let hasNoBody: (Int) -> Bool

    /// `hasNoBody` tells by the status that content does not follow, as http_parser leaves to its caller.
    init(_ bytes: [UInt8], isRequest: Bool, endsInput: Bool, hasNoBody: @escaping (Int) -> Bool) {
        self.hasNoBody = hasNoBody
        var parser = http_parser()
        var settings = oracleSettings()
        http_parser_init(&parser, isRequest ? HTTP_REQUEST : HTTP_RESPONSE)
        parser.data = Unmanaged.passUnretained(self).toOpaque()
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
            let parsed = http_parser_execute(&parser, &settings, base, bytes.count)
            if isComplete { byteCount = parsed }
            if !isComplete, endsInput, millrace_parser_errno(&parser) == 0 {
                _ = http_parser_execute(&parser, &settings, base, 0)
                if isComplete { byteCount = bytes.count }
            }
        }
        guard !isComplete, millrace_parser_errno(&parser) != 0 else { return }
        errorName = String(cString: millrace_parser_errno_name(&parser))
    }

    fileprivate func append(name: UnsafeRawBufferPointer) {
        if isInValue || lines.isEmpty { lines.append((name: [], value: [])) }
        isInValue = false
        lines[lines.count - 1].name += name
    }

    fileprivate func append(value: UnsafeRawBufferPointer) {
        isInValue = true
        guard !lines.isEmpty else { return }
        lines[lines.count - 1].value += value
    }

    private var lines: [(name: [UInt8], value: [UInt8])] {
        get { isHeadComplete ? trailers : fields }
        set { if isHeadComplete { trailers = newValue } else { fields = newValue } }
    }
}

// C callbacks capture nothing, so these are plain functions.

private func oracle(of parser: UnsafeMutablePointer<http_parser>?) -> HTTPParserOracle? {
    parser?.pointee.data.map { Unmanaged<HTTPParserOracle>.fromOpaque($0).takeUnretainedValue() }
}

private func data(_ start: UnsafePointer<CChar>?, _ count: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: start, count: count)
}

private func oracleSettings() -> http_parser_settings {
    var settings = http_parser_settings()
    http_parser_settings_init(&settings)
    settings.on_url = { parser, start, count in
        oracle(of: parser)?.target += data(start, count)
        return 0
    }
    settings.on_header_field = { parser, start, count in
        oracle(of: parser)?.append(name: data(start, count))
        return 0
    }
    settings.on_header_value = { parser, start, count in
        oracle(of: parser)?.append(value: data(start, count))
        return 0
    }
    settings.on_headers_complete = { parser in
        guard let parser, let found = oracle(of: parser) else { return 0 }
        found.method = String(cString: millrace_parser_method_name(parser))
        found.status = Int(millrace_parser_status(parser))
        found.minorVersion = Int(millrace_parser_minor(parser))
        found.isHeadComplete = true
        found.isInValue = false
        return found.hasNoBody(found.status) ? 1 : 0
    }
    settings.on_body = { parser, start, count in
        oracle(of: parser)?.body += data(start, count)
        return 0
    }
    settings.on_message_complete = { parser in
        oracle(of: parser)?.isComplete = true
        return 1  // stop: the next message is another run
    }
    return settings
}
