import Synchronization

/// AWS Signature Version 4 (AWS4-HMAC-SHA256) for requests whose body is at hand.
///
///     canonical request = METHOD \n path \n query \n name:value\n … \n names \n payload hash
///     string to sign    = AWS4-HMAC-SHA256 \n time \n day/region/service/aws4_request \n SHA-256(canonical request)
///
/// Services differ in two ways. S3 signs the path as it is sent; all others encode the encoded path once more, after
/// removing dot segments and repeated slashes. S3 and OpenSearch Serverless want the payload's hash in a field.
///
/// Thread-safe. The signing key, four of the five HMACs of a request, is kept for the day.
package final class SigV4Signer: Sendable {
    /// A header field that takes part in the signature.
    package struct Field: Sendable {
        /// In lower case.
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    private struct SigningKey {
        var day: [UInt8]
        var secret: String
        var key: [UInt8]
    }

    package let region: String
    /// `es`, `aoss` or `s3`; any other name gets the general rules.
    package let service: String
    private let signingKey = Mutex<SigningKey?>(nil)

    package init(region: String, service: String) {
        self.region = region
        self.service = service
    }

    /// Whether `x-amz-content-sha256` is part of every request.
    package var sendsContentHash: Bool { service == "s3" || service == "aoss" }

    /// The value of the Authorization field.
    ///
    /// - Parameter path: The path as it is sent, percent-encoded, without the query.
    /// - Parameter query: Names and values in plain form, in any order.
    /// - Parameter fields: All fields to sign, among them `host` and `x-amz-date`; a name may come more than once.
    /// - Parameter payloadHash: SHA-256 of the body as sent, 64 lower-case hexadecimal digits.
    package func authorization(
        method: String, path: some Collection<UInt8>, query: [(String, String)], fields: [Field], payloadHash: [UInt8],
        credentials: AWSCredentials, timestamp: SigV4Timestamp
    ) -> [UInt8] {
        authorization(
            method: method.utf8, path: path, canonicalQuery: Self.canonicalQuery(query), fields: fields,
            payloadHash: payloadHash, credentials: credentials, timestamp: timestamp)
    }

    /// As above, with a query in its canonical form.
    func authorization(
        method: some Sequence<UInt8>, path: some Collection<UInt8>, canonicalQuery: [UInt8], fields: [Field],
        payloadHash: [UInt8], credentials: AWSCredentials, timestamp: SigV4Timestamp
    ) -> [UInt8] {
        let fields = Self.sorted(fields)
        let canonical = canonicalRequest(
            method: method, path: path, canonicalQuery: canonicalQuery, sortedFields: fields, payloadHash: payloadHash)

        let scope = scope(timestamp)
        let signature = signature(of: canonical, scope: scope, credentials: credentials, timestamp: timestamp)

        var value: [UInt8] = []
        value.reserveCapacity(320)
        value += "AWS4-HMAC-SHA256 Credential=".utf8
        value += credentials.accessKeyID.utf8
        value.append(UInt8(ascii: "/"))
        value += scope
        value += ", SignedHeaders=".utf8
        Self.appendNames(of: fields, to: &value)
        value += ", Signature=".utf8
        SHA256Digest.appendHexadecimal(signature, to: &value)
        return value
    }

    /// A URL's query that carries the signature of a GET of `/` without a body: whoever holds it may send that request
    /// until `lifetimeSeconds` after `timestamp`, or until the credentials end.
    ///
    /// - Parameter query: Names and values in plain form that are signed with it.
    package func presignedQuery(
        host: String, query: [(String, String)], credentials: AWSCredentials, timestamp: SigV4Timestamp,
        lifetimeSeconds: Int64
    ) -> [UInt8] {
        let scope = scope(timestamp)
        var query = query
        query += [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "\(credentials.accessKeyID)/\(String(decoding: scope, as: UTF8.self))"),
            ("X-Amz-Date", String(decoding: timestamp.text, as: UTF8.self)), ("X-Amz-Expires", "\(lifetimeSeconds)"),
            ("X-Amz-SignedHeaders", "host"),
        ]
        if let token = credentials.sessionToken { query.append(("X-Amz-Security-Token", token)) }
        let canonical = canonicalRequest(
            method: "GET", path: [UInt8(ascii: "/")], query: query, fields: [Field("host", host)],
            payloadHash: SHA256Digest(of: []).hexadecimal)
        var signed: [UInt8] = []
        PercentEncoding.appendQuery(query, to: &signed)
        signed += "&X-Amz-Signature=".utf8
        SHA256Digest.appendHexadecimal(
            signature(of: canonical, scope: scope, credentials: credentials, timestamp: timestamp), to: &signed)
        return signed
    }

    /// `day/region/service/aws4_request`.
    private func scope(_ timestamp: SigV4Timestamp) -> [UInt8] {
        var scope: [UInt8] = []
        scope.reserveCapacity(64)
        scope += timestamp.day
        scope.append(UInt8(ascii: "/"))
        scope += region.utf8
        scope.append(UInt8(ascii: "/"))
        scope += service.utf8
        scope += "/aws4_request".utf8
        return scope
    }

    /// 32 bytes.
    private func signature(
        of canonicalRequest: [UInt8], scope: [UInt8], credentials: AWSCredentials, timestamp: SigV4Timestamp
    ) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(192)
        text += "AWS4-HMAC-SHA256\n".utf8
        text += timestamp.text
        text.append(UInt8(ascii: "\n"))
        text += scope
        text.append(UInt8(ascii: "\n"))
        text += SHA256Digest(of: canonicalRequest).hexadecimal
        return SHA256Digest.hmac(key: key(for: timestamp.day, secret: credentials.secretAccessKey), text)
    }

    /// The canonical request; visible for comparing with AWS's published ones.
    package func canonicalRequest(
        method: String, path: some Collection<UInt8>, query: [(String, String)], fields: [Field], payloadHash: [UInt8]
    ) -> [UInt8] {
        canonicalRequest(
            method: method.utf8, path: path, canonicalQuery: Self.canonicalQuery(query),
            sortedFields: Self.sorted(fields), payloadHash: payloadHash)
    }

    private func canonicalRequest(
        method: some Sequence<UInt8>, path: some Collection<UInt8>, canonicalQuery: [UInt8], sortedFields: [Field],
        payloadHash: [UInt8]
    ) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        output += method
        output.append(UInt8(ascii: "\n"))
        if service == "s3" {
            if path.isEmpty { output.append(UInt8(ascii: "/")) } else { output += path }
        } else {
            PercentEncoding.append(Self.normalized(path), keepsSlash: true, to: &output)
        }
        output.append(UInt8(ascii: "\n"))
        output += canonicalQuery
        output.append(UInt8(ascii: "\n"))
        Self.appendFields(sortedFields, to: &output)
        output.append(UInt8(ascii: "\n"))
        Self.appendNames(of: sortedFields, to: &output)
        output.append(UInt8(ascii: "\n"))
        output += payloadHash
        return output
    }

    private func key(for day: [UInt8], secret: String) -> [UInt8] {
        signingKey.withLock { cached in
            if let cached, cached.day == day, cached.secret == secret { return cached.key }
            var key = SHA256Digest.hmac(key: Array("AWS4\(secret)".utf8), day)
            for part in [region, service, "aws4_request"] { key = SHA256Digest.hmac(key: key, Array(part.utf8)) }
            cached = SigningKey(day: day, secret: secret, key: key)
            return key
        }
    }

    // MARK: - Canonical parts

    /// Names in byte order; fields of one name keep their order.
    private static func sorted(_ fields: [Field]) -> [Field] {
        fields.enumerated().sorted { left, right in
            left.element.name == right.element.name
                ? left.offset < right.offset : left.element.name.utf8.lexicographicallyPrecedes(right.element.name.utf8)
        }.map(\.element)
    }

    private static func appendFields(_ fields: [Field], to output: inout [UInt8]) {
        for (position, field) in fields.enumerated() {
            if position > 0, fields[position - 1].name == field.name {
                output[output.count - 1] = UInt8(ascii: ",")  // in place of the line break
            } else {
                output += field.name.utf8
                output.append(UInt8(ascii: ":"))
            }
            appendTrimmed(field.value, to: &output)
            output.append(UInt8(ascii: "\n"))
        }
    }

    private static func appendNames(of fields: [Field], to output: inout [UInt8]) {
        for (position, field) in fields.enumerated() {
            if position > 0 {
                if fields[position - 1].name == field.name { continue }
                output.append(UInt8(ascii: ";"))
            }
            output += field.name.utf8
        }
    }

    /// Without white space at its ends, runs of it inside as one space.
    private static func appendTrimmed(_ value: String, to output: inout [UInt8]) {
        let start = output.count
        var isSpaceDue = false
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"):
                isSpaceDue = output.count > start
            default:
                if isSpaceDue { output.append(UInt8(ascii: " ")) }
                isSpaceDue = false
                output.append(byte)
            }
        }
    }

    private static func canonicalQuery(_ query: [(String, String)]) -> [UInt8] {
        canonicalQuery(
            query.map { member in
                (
                    name: Array(PercentEncoding.segment(member.0).utf8),
                    value: Array(PercentEncoding.segment(member.1).utf8)
                )
            })
    }

    /// Encoded members in byte order of their names, then of their values; every member has its `=`.
    private static func canonicalQuery(_ encoded: [(name: [UInt8], value: [UInt8])]) -> [UInt8] {
        let members = encoded.sorted { left, right in
            left.name == right.name
                ? left.value.lexicographicallyPrecedes(right.value) : left.name.lexicographicallyPrecedes(right.name)
        }
        var output: [UInt8] = []
        for (position, member) in members.enumerated() {
            if position > 0 { output.append(UInt8(ascii: "&")) }
            output += member.name
            output.append(UInt8(ascii: "="))
            output += member.value
        }
        return output
    }

    /// The canonical form of a query as it stands in a request target, without its `?`: members are decoded and encoded
    /// anew, so that one sent as `a,b` and one sent as `a%2Cb` are the same. A plus sign stands for a space, as the
    /// engines and AWS read it; a percent sign without two digits stands for itself; empty members do not count.
    static func canonicalQuery(asSent query: some Collection<UInt8>) -> [UInt8] {
        canonicalQuery(
            query.split(separator: UInt8(ascii: "&")).map { member in
                let name = member.prefix { $0 != UInt8(ascii: "=") }
                return (name: encodedAnew(name), value: encodedAnew(member.dropFirst(name.count + 1)))
            })
    }

    private static func encodedAnew(_ part: some Collection<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(part.count + 8)
        PercentEncoding.append(PercentEncoding.decoded(formPart: part), to: &output)
        return output
    }

    /// Without empty, `.` and `..` segments; `/` at least. A slash at the end stays.
    private static func normalized(_ path: some Collection<UInt8>) -> [UInt8] {
        var segments: [[UInt8]] = []
        var isFolder = true
        for segment in path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            isFolder = true
            if segment.isEmpty || segment.elementsEqual([UInt8(ascii: ".")]) { continue }
            if segment.elementsEqual([UInt8(ascii: "."), UInt8(ascii: ".")]) {
                _ = segments.popLast()
                continue
            }
            segments.append(Array(segment))
            isFolder = false
        }
        var output: [UInt8] = []
        output.reserveCapacity(path.count + 1)
        for segment in segments {
            output.append(UInt8(ascii: "/"))
            output += segment
        }
        if isFolder { output.append(UInt8(ascii: "/")) }
        return output
    }
}

/// A time as signatures hold it: `20150830T123600Z`.
package struct SigV4Timestamp: Sendable, Equatable {
    /// 16 bytes.
    package let text: [UInt8]

    /// - Parameter unixSeconds: Seconds since 1970-01-01T00:00:00Z; years 1970 to 9999.
    package init(unixSeconds: Int64) {
        precondition((0..<253_402_300_800).contains(unixSeconds), "time \(unixSeconds) is outside of 1970...9999")
        let days = Int(unixSeconds / 86_400)
        let second = Int(unixSeconds % 86_400)
        // The proleptic Gregorian calendar in eras of 400 years that begin on 1 March, where leap days come last.
        let shifted = days + 719_468
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + shifted / 146_097 * 400 + (month <= 2 ? 1 : 0)

        var text: [UInt8] = []
        text.reserveCapacity(16)
        Self.append(year, digits: 4, to: &text)
        Self.append(month, digits: 2, to: &text)
        Self.append(day, digits: 2, to: &text)
        text.append(UInt8(ascii: "T"))
        Self.append(second / 3600, digits: 2, to: &text)
        Self.append(second / 60 % 60, digits: 2, to: &text)
        Self.append(second % 60, digits: 2, to: &text)
        text.append(UInt8(ascii: "Z"))
        self.text = text
    }

    /// Seconds since 1970 of a time in RFC 3339's form, `2026-01-31T23:59:59Z`; a fraction is cut off. nil for anything
    /// else, times before 1970 and offsets other than whole minutes included.
    package static func unixSeconds(rfc3339 text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[10] | 0x20 == UInt8(ascii: "t"), bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
            let year = number(bytes[0..<4], 1970...9999), let month = number(bytes[5..<7], 1...12),
            let day = number(bytes[8..<10], 1...31), let hour = number(bytes[11..<13], 0...23),
            let minute = number(bytes[14..<16], 0...59), let second = number(bytes[17..<19], 0...60)
        else { return nil }
        var rest = bytes[19...]
        if rest.first == UInt8(ascii: ".") {
            let fraction = rest.dropFirst().prefix { (0x30...0x39).contains($0) }
            guard !fraction.isEmpty else { return nil }
            rest = rest[fraction.endIndex...]
        }
        guard let offset = offsetMinutes(rest) else { return nil }
        // As in `init`, backwards: years begin on 1 March.
        let shiftedYear = month <= 2 ? year - 1 : year
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear % 400
        let days =
            era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        let seconds = days * 86_400 + (hour * 60 + minute - offset) * 60 + second
        return seconds >= 0 ? Int64(seconds) : nil
    }

    /// `Z` or `+01:30`.
    private static func offsetMinutes(_ text: ArraySlice<UInt8>) -> Int? {
        if text.count == 1, text.first.map({ $0 | 0x20 }) == UInt8(ascii: "z") { return 0 }
        let start = text.startIndex
        guard text.count == 6, text[start + 3] == UInt8(ascii: ":"),
            let hours = number(text[(start + 1)..<(start + 3)], 0...23),
            let minutes = number(text[(start + 4)...], 0...59)
        else { return nil }
        switch text[start] {
        case UInt8(ascii: "+"): return hours * 60 + minutes
        case UInt8(ascii: "-"): return -(hours * 60 + minutes)
        default: return nil
        }
    }

    private static func number(_ digits: ArraySlice<UInt8>, _ bounds: ClosedRange<Int>) -> Int? {
        guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        let value = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return bounds.contains(value) ? value : nil
    }

    /// `20150830`.
    package var day: [UInt8] { Array(text[..<8]) }

    private static func append(_ number: Int, digits: Int, to text: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            text.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }
}
