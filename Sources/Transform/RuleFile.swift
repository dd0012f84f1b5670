import JSONBytes

/// Everything that is wrong with a rule file, by place in the file.
package struct RuleFileError: Error, Equatable, Sendable, CustomStringConvertible {
    package struct Problem: Equatable, Sendable {
        /// Counted from 1; columns are bytes.
        package let line: Int
        package let column: Int
        /// `rules[2].from`; empty for the file as a whole.
        package let path: String
        package let message: String
    }

    package let file: String
    /// In the order of the file.
    package let problems: [Problem]

    package var description: String {
        problems.map { problem in
            let path = problem.path.isEmpty ? "" : "\(problem.path): "
            return "\(file):\(problem.line):\(problem.column): \(path)\(problem.message)"
        }.joined(separator: "\n")
    }
}

extension RuleSet {
    /// Reads and compiles a rule file (JSON; see Rules.md). `file` is its name for messages.
    package init(json: [UInt8], file: String) throws(RuleFileError) {
        var reader = RuleFileReader(file: file)
        let problems = json.withUnsafeBytes { reader.read($0) }
        guard problems.isEmpty else { throw RuleFileError(file: file, problems: problems) }
        self = reader.rules
    }
}

/// One pass over the file that goes on behind every problem but a syntax error.
private struct RuleFileReader {
    let file: String
    var rules = RuleSet()
    private var problems: [(offset: Int, path: String, message: String)] = []

    init(file: String) { self.file = file }

    /// A member's value with where it stands. Only strings occur.
    private typealias Members = [String: (offset: Int, text: String)]

    private static let kinds: [String: (required: [String], optional: [String])] = [
        "rename-index": (["from", "to"], []), "drop-index": (["index"], []),
        "remove-types": ([], []), "map-type": (["index", "type", "to"], []), "drop-type": (["index", "type"], []),
        "rename-field": (["from", "to"], ["index"]), "drop-field": (["field"], ["index"]),
        "set-header": (["name", "value"], []), "drop-header": (["name"], []),
        "rewrite-path": (["from", "to"], ["method"]), "skip-request": ([], ["path", "method"]),
    ]

    mutating func read(_ bytes: UnsafeRawBufferPointer) -> [RuleFileError.Problem] {
        do throws(JSONError) {
            _ = try JSONValue.parse(bytes)
            try walk(bytes)
        } catch {
            problems.append((error.offset, "", error.message))
        }
        return problems.sorted { $0.offset < $1.offset }.map { problem in
            let before = bytes[..<min(problem.offset, bytes.count)]
            let lineStart = (before.lastIndex(of: 0x0A) ?? -1) + 1
            return RuleFileError.Problem(
                line: before.reduce(1) { $1 == 0x0A ? $0 + 1 : $0 }, column: problem.offset - lineStart + 1,
                path: problem.path, message: problem.message)
        }
    }

    private mutating func note(_ offset: Int, _ path: String, _ message: String) {
        problems.append((offset, path, message))
    }

    private mutating func walk(_ bytes: UnsafeRawBufferPointer) throws(JSONError) {
        var cursor = JSONByteCursor(bytes: bytes)
        guard cursor.peek() == UInt8(ascii: "{") else {
            note(cursor.offset, "", "an object with \"rules\" expected")
            return
        }
        let start = cursor.offset
        try cursor.expect(UInt8(ascii: "{"))
        var hasRules = false
        while let key = try cursor.nextKey() {
            guard JSONStrings.equals(bytes, key, "rules") else {
                note(key.lowerBound - 1, Self.text(bytes, key), "unknown; the file has \"rules\" only")
                try cursor.skipValue()
                continue
            }
            if hasRules { note(key.lowerBound - 1, "rules", "given twice") }
            hasRules = true
            guard cursor.peek() == UInt8(ascii: "[") else {
                note(cursor.offset, "rules", "a list expected")
                try cursor.skipValue()
                continue
            }
            try cursor.expect(UInt8(ascii: "["))
            var number = 0
            while try cursor.nextElement() {
                try readRule(&cursor, bytes, "rules[\(number)]")
                number += 1
            }
        }
        if !hasRules { note(start, "rules", "missing") }
    }

    private mutating func readRule(
        _ cursor: inout JSONByteCursor, _ bytes: UnsafeRawBufferPointer, _ path: String
    ) throws(JSONError) {
        _ = cursor.peek()
        let start = cursor.offset
        guard cursor.peek() == UInt8(ascii: "{") else {
            note(start, path, "an object expected")
            try cursor.skipValue()
            return
        }
        var members: Members = [:]
        var isSound = true
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            let name = Self.text(bytes, key)
            let (value, text) = try cursor.stringRange()
            guard let text else {
                note(value.lowerBound, "\(path).\(name)", "a string expected")
                isSound = false
                continue
            }
            if members[name] != nil { note(key.lowerBound - 1, "\(path).\(name)", "given twice") }
            members[name] = (value.lowerBound, Self.text(bytes, text))
        }
        guard let kind = members.removeValue(forKey: "rule") else {
            if isSound { note(start, path, "\"rule\" is missing; it says what the rule does") }
            return
        }
        guard let keys = Self.kinds[kind.text] else {
            let known = Self.kinds.keys.sorted().joined(separator: ", ")
            note(kind.offset, "\(path).rule", "no rule \"\(kind.text)\"; there are \(known)")
            return
        }
        for (name, member) in members where !keys.required.contains(name) && !keys.optional.contains(name) {
            note(member.offset, "\(path).\(name)", "\(kind.text) has no such member")
        }
        // A member of another type was told already.
        let missing = isSound ? keys.required.filter { members[$0] == nil } : []
        for name in missing { note(start, "\(path).\(name)", "missing") }
        if isSound, missing.isEmpty { compile(kind.text, members, path, start) }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> String {
        String(decoding: JSONStrings.unescaped(bytes, range), as: UTF8.self)
    }

    private mutating func compile(_ kind: String, _ members: Members, _ path: String, _ start: Int) {
        switch kind {
        case "remove-types": rules.removesTypes = true
        case "rename-index":
            let from = pattern(members, "from", path)
            if let to = indexTemplate(members, path, captureCount: from.captureCount) {
                rules.indexRules.append(.init(pattern: from, target: to))
            }
        case "drop-index": rules.indexRules.append(.init(pattern: pattern(members, "index", path), target: nil))
        case "map-type", "drop-type":
            let index = pattern(members, "index", path)
            let type = pattern(members, "type", path)
            rules.removesTypes = true
            if kind == "drop-type" {
                rules.typeRules.append(.init(index: index, type: type, target: nil))
            } else if let to = indexTemplate(members, path, captureCount: index.captureCount + type.captureCount) {
                rules.typeRules.append(.init(index: index, type: type, target: to))
            }
        case "rename-field", "drop-field": compileField(kind, members, path)
        case "set-header", "drop-header": compileHeader(members, path)
        default: compilePath(kind, members, path, start)
        }
    }

    private mutating func pattern(_ members: Members, _ name: String, _ path: String) -> NamePattern {
        guard let member = members[name] else { return NamePattern("*") }
        if member.text.isEmpty { note(member.offset, "\(path).\(name)", "empty") }
        return NamePattern(member.text)
    }

    private mutating func template(_ members: Members, _ path: String, captureCount: Int) -> NameTemplate? {
        guard let member = members["to"] else { return nil }
        guard let template = NameTemplate(member.text, captureCount: captureCount) else {
            let known = captureCount == 0 ? "there is no * to refer to" : "$1 to $\(min(captureCount, 9)) exist"
            note(member.offset, "\(path).to", "a wrong reference; \(known), and $$ is a dollar sign")
            return nil
        }
        return template
    }

    /// A template that makes index names (org.opensearch.cluster.metadata.MetadataCreateIndexService).
    private mutating func indexTemplate(_ members: Members, _ path: String, captureCount: Int) -> NameTemplate? {
        guard let member = members["to"], let template = template(members, path, captureCount: captureCount) else {
            return nil
        }
        let wrong = template.literalText.first { byte in
            byte <= 0x20 || byte == 0x7F || (0x41...0x5A).contains(byte) || "\\/*?\"<>|,#:".utf8.contains(byte)
        }
        if let wrong {
            let shown = Character(Unicode.Scalar(wrong))
            note(member.offset, "\(path).to", "an index name cannot contain \"\(shown)\"")
        }
        if let first = member.text.utf8.first, "-_+".utf8.contains(first) {
            note(member.offset, "\(path).to", "an index name cannot begin with \"\(Character(Unicode.Scalar(first)))\"")
        }
        if member.text.isEmpty || member.text == "." || member.text == ".." {
            note(member.offset, "\(path).to", "no index name")
        }
        return template
    }

    private mutating func compileField(_ kind: String, _ members: Members, _ path: String) {
        let key = kind == "drop-field" ? "field" : "from"
        guard let from = members[key] else { return }
        let index = pattern(members, "index", path)
        let isPath = { (text: String) in
            !text.isEmpty && !text.hasPrefix(".") && !text.hasSuffix(".") && !text.contains("..")
        }
        for name in [key, "to"] {
            if let member = members[name], !isPath(member.text) {
                note(member.offset, "\(path).\(name)", "no field name")
            }
        }
        if from.text.hasPrefix("_") {
            note(from.offset, "\(path).\(key)", "metadata fields are not part of a document")
        }
        let parent = { (text: String) in text.split(separator: ".").dropLast().joined(separator: ".") }
        if let to = members["to"], parent(to.text) != parent(from.text) {
            note(to.offset, "\(path).to", "a field can be renamed within its object only: \(parent(from.text))…")
        }
        rules.fieldRules.append(
            .init(index: index, path: Array(from.text.utf8), target: members["to"].map { Array($0.text.utf8) }))
    }

    /// Framing, connection and credentials are the replayer's own.
    private static let ownHeaders: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer",
        "upgrade", "expect", "content-encoding", "authorization",
    ]

    private mutating func compileHeader(_ members: Members, _ path: String) {
        guard let name = members["name"] else { return }
        let lower = name.text.lowercased()
        let isToken = { (byte: UInt8) in
            (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
        if lower.isEmpty || !lower.utf8.allSatisfy(isToken) { note(name.offset, "\(path).name", "no header name") }
        if Self.ownHeaders.contains(lower) {
            note(name.offset, "\(path).name", "\(name.text) is set by the replayer itself")
        }
        var line: [UInt8]?
        if let value = members["value"] {
            if value.text.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) {
                note(value.offset, "\(path).value", "control characters in a header")
            }
            line = Array("\(name.text): \(value.text)".utf8)
        }
        // The writer keeps one bit for each.
        if rules.headerRules.count == 63 { note(name.offset, path, "more than 63 header rules") }
        rules.headerRules.append(.init(name: Array(lower.utf8), line: line))
    }

    private mutating func compilePath(_ kind: String, _ members: Members, _ path: String, _ start: Int) {
        let key = kind == "skip-request" ? "path" : "from"
        if members.isEmpty { note(start, path, "a path or a method is needed; this would skip every request") }
        if let member = members[key], !member.text.hasPrefix("/"), !member.text.hasPrefix("*") {
            note(member.offset, "\(path).\(key)", "a path begins with /")
        }
        let methods = members["method"]?.text.split(separator: ",").map { Array($0.utf8.filter { $0 != 0x20 }) } ?? []
        if let member = members["method"] {
            let isMethod = { (method: [UInt8]) in !method.isEmpty && method.allSatisfy { (0x41...0x5A).contains($0) } }
            if methods.isEmpty || !methods.allSatisfy(isMethod) {
                note(member.offset, "\(path).method", "no methods; write GET or GET,HEAD")
            }
        }
        let from = pattern(members, key, path)
        guard kind == "rewrite-path" else {
            rules.pathRules.append(.init(methods: methods, pattern: from, target: nil))
            return
        }
        guard let to = template(members, path, captureCount: from.captureCount) else { return }
        let isTarget = { (byte: UInt8) in byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "#") }
        if !to.text.hasPrefix("/") || !to.text.utf8.allSatisfy(isTarget) || to.text.contains("?") {
            note(members["to"]?.offset ?? start, "\(path).to", "a path begins with / and is percent-encoded")
        }
        rules.pathRules.append(.init(methods: methods, pattern: from, target: to))
    }
}
