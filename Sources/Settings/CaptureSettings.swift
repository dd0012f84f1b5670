/// Everything `millraced capture` is told, checked.
package struct CaptureSettings: RoleSettings {
    /// What becomes of a writing request while the log is not available.
    package enum OutagePolicy: String, Sendable, CaseIterable {
        case refuse, forward, spool
    }

    package enum ClientCertificates: String, Sendable, CaseIterable {
        case none, optional, required
    }

    /// TLS towards clients. Paths of PEM files; the key and the chain are given together.
    package struct ListenTLS: Sendable, Equatable {
        package var certificateFile: String
        package var keyFile: String
        package var clientCAFile: String?
        package var clientCertificates = ClientCertificates.none

        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// What is not recorded. Every expression matches whole texts.
    package struct Suppression: Sendable, Equatable {
        package struct Header: Sendable, Equatable {
            /// In lower case.
            package let name: String
            package let pattern: LinearRegex

            package init(name: String, pattern: LinearRegex) {
                self.name = name
                self.pattern = pattern
            }
        }

        package var headers: [Header] = []
        package var method: LinearRegex?
        package var path: LinearRegex?
        package var methodAndPath: LinearRegex?

        package init() {}

        package var isEmpty: Bool { headers.isEmpty && method == nil && path == nil && methodAndPath == nil }
    }

    /// A header that is set in requests to the source.
    package struct SetHeader: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package struct Limits: Sendable, Equatable {
        package var workerCount = 1
        package var connectionLimit = 50_000
        /// A worker's.
        package var warmConnectionCount = 0
        package var headBytes = 64 << 10
        package var bodyBytes: Int64?
        package var recordBytes = 256 << 10
        package var inFlightBytes = 256 << 20

        package init() {}
    }

    package struct Deadlines: Sendable, Equatable {
        package var connect = Duration.seconds(5)
        package var head = Duration.seconds(30)
        package var request = Duration.seconds(120)
        package var response = Duration.seconds(600)
        package var idle = Duration.seconds(3600)
        package var hold = Duration.seconds(30)
        package var flushAfter = Duration.milliseconds(250)
        package var drain = Duration.seconds(25)

        package init() {}
    }

    package var listenAddress = HostAndPort(host: "127.0.0.1", port: 0)
    package var source: ServiceURL
    package var setHeaders: [SetHeader] = []
    package var acceptsProxyProtocol = false
    package var log = TrafficLogSettings()
    package var outagePolicy = OutagePolicy.refuse
    package var spoolFolder: String?
    package var isStrict = false
    package var suppression = Suppression()
    /// In lower case.
    package var redactedHeaders: [String] = []
    package var tls: ListenTLS?
    package var sourceTLS = ClientTLSSettings()
    package var limits = Limits()
    package var deadlines = Deadlines()
    package var watching = WatchingSettings()
    /// What is allowed but deserves a warning in the log.
    package fileprivate(set) var warnings: [String] = []
    fileprivate var given: [(name: String, value: String)] = []

    /// Settings with every default; for tests and as the start of `load`.
    package init(source: ServiceURL) { self.source = source }
}

extension CaptureSettings {
    /// Reads arguments (after the role) and the environment; throws every mistake at once.
    package static func load(
        arguments: [String], environment: (String) -> String? = FlagParser.processEnvironment,
        processorCount: Int = ProcessorCount.available,
        readFile: @escaping (String) -> Result<[UInt8], ValueProblem> = SmallFile.read
    ) throws(SettingsError) -> RoleRequest<CaptureSettings> {
        let read = try CaptureUsage.page.read(arguments, environment, readFile) { reader in
            let address = reader.required("--listen", HostAndPort.parse)
            let source = reader.required("--source", Self.source)
            var settings = CaptureSettings(
                source: source ?? ServiceURL(isTLS: false, host: "", port: 1, pathPrefix: ""))
            if let address { settings.listenAddress = address }
            settings.readWhat(&reader)
            settings.readRecording(&reader)
            settings.readTLS(&reader, isSourceGiven: source != nil)
            settings.readLimits(&reader, processorCount: processorCount)
            settings.readDeadlines(&reader)
            settings.watching = WatchingSettings(&reader)
            return settings
        }
        guard let read else { return .help(CaptureUsage.text) }
        var settings = read.settings
        settings.noteWarnings()
        settings.given = read.told
        return .run(settings)
    }

    /// The settings that were given, with the names of their flags, for the log of a start; no values that may be
    /// secret.
    package func describe() -> [(name: String, value: String)] { given }

    private mutating func readWhat(_ reader: inout FlagReader) {
        setHeaders = reader.all("--set-header") { (text) throws(ValueProblem) in
            let (name, value) = try NameAndValue.parse(text)
            guard Self.isToken(name) else { throw ValueProblem("\"\(name)\" is not a header name") }
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                throw ValueProblem("the value of \(name) holds a control character")
            }
            switch name.lowercased() {
            case "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer":
                throw ValueProblem("\(name) frames the message and cannot be set")
            default: return SetHeader(name: name, value: value)
            }
        }
        acceptsProxyProtocol = reader.truth("--proxy-protocol")
    }

    private mutating func readRecording(_ reader: inout FlagReader) {
        log = CaptureFlags.log.read(&reader)
        outagePolicy = reader.choice("--log-outage") ?? outagePolicy
        spoolFolder = reader.text("--spool")
        if (outagePolicy == .spool) != reader.isGiven("--spool") {
            reader.note(nil, "--log-outage spool and --spool FOLDER belong together; one is missing")
        }
        if outagePolicy == .spool, log.address.hasPrefix("file:") {
            reader.note("--log-outage", "spool makes no sense before a log of local files; use refuse or forward")
        }
        deadlines.hold =
            reader.duration("--hold-timeout", within: .milliseconds(100) ... .seconds(600)) ?? deadlines.hold
        isStrict = reader.truth("--strict-writes")
        suppression.headers = reader.all("--suppress-header") { (text) throws(ValueProblem) in
            let (name, pattern) = try NameAndValue.parse(text)
            return Suppression.Header(name: name.lowercased(), pattern: try LinearRegex(pattern))
        }
        suppression.method = reader.value("--suppress-method", Self.regex)
        suppression.path = reader.value("--suppress-path", Self.regex)
        suppression.methodAndPath = reader.value("--suppress-method-and-path", Self.regex)
        redactedHeaders = reader.all("--redact-header") { (text) throws(ValueProblem) in
            guard Self.isToken(text) else { throw ValueProblem("\"\(text)\" is not a header name") }
            return text.lowercased()
        }
        deadlines.flushAfter =
            reader.duration("--flush-after", within: .milliseconds(10) ... .seconds(60)) ?? deadlines.flushAfter
    }

    private mutating func readTLS(_ reader: inout FlagReader, isSourceGiven: Bool) {
        let certificate = reader.text("--tls-certificate")
        let key = reader.text("--tls-key")
        let authority = reader.text("--client-ca")
        let asked: ClientCertificates = reader.choice("--client-certificates") ?? .none
        if (certificate == nil) != (key == nil) {
            reader.note(nil, "--tls-certificate and --tls-key belong together; one is missing")
        }
        if asked != .none, authority == nil { reader.note("--client-certificates", "needs --client-ca") }
        if asked == .none, authority != nil {
            reader.note("--client-ca", "is not used without --client-certificates optional or required")
        }
        if let certificate, let key {
            var tls = ListenTLS(certificateFile: certificate, keyFile: key)
            tls.clientCAFile = authority
            tls.clientCertificates = asked
            self.tls = tls
        } else if asked != .none {
            reader.note("--client-certificates", "needs --tls-certificate and --tls-key")
        }
        sourceTLS = ClientTLSFlags.source.read(&reader, isTLS: isSourceGiven ? source.isTLS : nil)
    }

    private mutating func readLimits(_ reader: inout FlagReader, processorCount: Int) {
        limits.workerCount = reader.workerCount(processorCount: processorCount)
        limits.connectionLimit = reader.count("--connections", within: 1...1_000_000) ?? limits.connectionLimit
        limits.warmConnectionCount =
            reader.count("--warm-connections", within: 0...1000) ?? limits.warmConnectionCount
        limits.headBytes = reader.size("--head-bytes", within: 4 << 10...1 << 20) ?? limits.headBytes
        limits.bodyBytes = reader.size("--body-bytes", within: 1...1 << 50).map { Int64($0) }
        limits.recordBytes = reader.size("--record-bytes", within: 16 << 10...16 << 20) ?? limits.recordBytes
        limits.inFlightBytes = reader.size("--in-flight-budget", within: 1 << 20...1 << 40) ?? limits.inFlightBytes
        if limits.inFlightBytes < 4 * limits.recordBytes {
            reader.note(
                nil,
                "--in-flight-budget \(ByteSize.text(Int64(limits.inFlightBytes))) is less than four records of "
                    + "--record-bytes \(ByteSize.text(Int64(limits.recordBytes)))")
        }
    }

    private mutating func readDeadlines(_ reader: inout FlagReader) {
        let bounds = Duration.milliseconds(100) ... .seconds(86_400)
        deadlines.connect = reader.duration("--connect-timeout", within: bounds) ?? deadlines.connect
        deadlines.head = reader.duration("--head-timeout", within: bounds) ?? deadlines.head
        deadlines.request = reader.duration("--request-timeout", within: bounds) ?? deadlines.request
        deadlines.response = reader.duration("--response-timeout", within: bounds) ?? deadlines.response
        deadlines.idle = reader.duration("--idle-timeout", within: bounds) ?? deadlines.idle
        deadlines.drain = reader.duration("--drain-timeout", within: bounds) ?? deadlines.drain
    }

    private mutating func noteWarnings() {
        warnings += source.warnings(party: "source", tls: sourceTLS)
        if log.isNone { warnings.append("nothing is recorded: --log none") }
    }
}

// What the texts mean.
extension CaptureSettings {
    private static func regex(_ text: String) throws(ValueProblem) -> LinearRegex { try LinearRegex(text) }

    private static func source(_ text: String) throws(ValueProblem) -> ServiceURL {
        let url = try ServiceURL.parse(text)
        guard url.pathPrefix.isEmpty else {
            throw ValueProblem("\"\(text)\" has a path; requests are passed on as they came")
        }
        return url
    }

    /// `token` of RFC 9110 §5.6.2.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }
}
