import JSONBytes

/// What a response's status means for the caller.
enum StatusPolicy {
    /// The error that a status stands for; nil for 2xx.
    static func problem(
        with response: ClusterResponse, of request: ClusterRequest, settings: ClusterSettings
    ) -> ClusterError? {
        if (200..<300).contains(response.status) { return nil }
        let address = settings.url.authority
        let what =
            "\(settings.side.rawValue) \(address) answered \(response.status) to \(request.method) \(request.path)"
        let reason = reason(in: response.body, settings: settings).map { ": \($0)" } ?? ""
        func error(_ code: ClusterError.Code, _ disposition: ClusterError.Disposition, _ text: String) -> ClusterError {
            ClusterError(code, side: settings.side, disposition: disposition, message: text)
        }
        switch response.status {
        case 300..<400:
            let location = response.header("location").map { " to \(oneLine($0, limit: 200))" } ?? ""
            return error(.redirected, .stop, "\(what), a redirect\(location); give the final address in the settings")
        case 401: return error(.unauthorized, .stop, "\(what)\(reason); \(credentialHint(settings, isKnown: false))")
        case 403: return error(.forbidden, .stop, "\(what)\(reason); \(credentialHint(settings, isKnown: true))")
        case 404: return error(.notFound, .rejectItem, "\(what)\(reason)")
        case 408: return error(.serverError, .retry, "\(what), a time-out\(reason)")
        case 413: return error(.payloadTooLarge, .rejectItem, "\(what): the body is too large; send less at a time")
        case 429: return error(.tooManyRequests, .retry, "\(what), too many requests\(reason); send slower")
        case 500...: return error(.serverError, .retry, "\(what)\(reason); look at the cluster's health and log")
        default: return error(.badRequest, .rejectItem, "\(what)\(reason)")
        }
    }

    /// Which credentials to look at, by the kind in use. Their values are never part of it.
    static func credentialHint(_ settings: ClusterSettings, isKnown: Bool) -> String {
        switch settings.authentication {
        case .none:
            return
                "no credentials were sent: give --username and --password-file, or --sigv4-region"
        case .basic:
            return isKnown
                ? "the user given with --username lacks a permission"
                : "check --username and its password"
        case .apiKey:
            return isKnown ? "the API key lacks a privilege" : "check the API key"
        case .sigV4(let region, let service, _):
            return
                "check the AWS keys, the region \(region), the service \(service), the clock of this machine, and the "
                + "access policy of the \(service == "aoss" ? "collection" : "domain")"
        }
    }

    /// The engine's own words: `error.type: error.reason`, or a text under `error` or `message`. One line of at most
    /// 300 bytes. AWS answers a wrong signature with the whole canonical request, session token included: only the
    /// first line is taken, and nothing of a text that repeats a secret.
    static func reason(in body: [UInt8], settings: ClusterSettings) -> String? {
        guard body.count <= 1 << 20, let value = try? JSONValue.parse(body) else { return nil }
        var text: String?
        if let error = value["error"] {
            if let type = error["type"]?.stringValue {
                text = error["reason"]?.stringValue.map { "\(type): \($0)" } ?? type
            } else {
                text = error.stringValue
            }
        }
        text = text ?? value["message"]?.stringValue ?? value["Message"]?.stringValue
        guard let text, !text.isEmpty else { return nil }
        let line = oneLine(text, limit: 300)
        return secrets(settings).contains { text.contains($0) }
            ? "(the answer repeats a credential and is left out)" : line
    }

    private static func secrets(_ settings: ClusterSettings) -> [String] {
        switch settings.authentication {
        case .none: return []
        case .basic(let user, let password):
            return [password, Base64.encode(Array("\(user):\(password)".utf8))].filter { $0.utf8.count >= 4 }
        case .apiKey(let key): return [key].filter { !$0.isEmpty }
        case .sigV4(_, _, let provider):
            guard let credentials = try? provider.credentials() else { return [] }
            return [credentials.secretAccessKey, credentials.sessionToken ?? ""].filter { !$0.isEmpty }
        }
    }

    /// The first line of foreign text, without control characters, cut at `limit` bytes on a character's border.
    static func oneLine(_ text: String, limit: Int) -> String {
        var line = ""
        for character in text.unicodeScalars {
            if character == "\n" || character == "\r" || character == "\u{2028}" { break }
            if line.utf8.count >= limit { return line + "…" }
            line.unicodeScalars.append(character.value < 0x20 || character.value == 0x7F ? " " : character)
        }
        return line
    }
}
