import Glibc
import HTTPMessage

/// What counts as a difference.
package struct TupleRules: Sendable {
    package enum StatusRule: String, Sendable, CaseIterable {
        /// 200 and 201 differ.
        case code
        /// 200 and 201 are one class, 2xx.
        case `class`
    }

    /// Members that differ between any two clusters. `_type`: targets have no mapping types. Of errors the type and the
    /// status count; their wording is the engine's ("[_doc][1]: document missing" is "[1]: document missing" later on),
    /// the shard's number the index's layout.
    package static let ignoredByDefault =
        [
            "took", "ingest_took", "_shards", "_version", "_seq_no", "_primary_term", "_scroll_id", "pit_id", "_type",
            "index_uuid",
        ]
        + ["error", "items.*.*.error", "responses.*.error", "docs.*.error"].flatMap { error in
            ["reason", "root_cause.*.reason", "caused_by.reason", "shard", "root_cause.*.shard"].map {
                error + "." + $0
            }
        }

    package var statusRule = StatusRule.code
    /// Longer content is compared by its bytes only.
    package var bodyBytesLimit = 64 << 10
    /// See `JSONComparison`; a step costs about 5 ns.
    package var stepLimit = 200_000
    fileprivate(set) var names: [[UInt8]] = []
    fileprivate(set) var paths: [[[UInt8]]] = []

    static let anyName = Array("*".utf8)

    /// `ignored`: a name without a dot is ignored wherever it stands. With dots it is a path from the top of the body,
    /// `*` standing for any key or any place in an array: `hits.hits.*._score`.
    package init(ignoring ignored: [String] = Self.ignoredByDefault) {
        for text in ignored where !text.isEmpty {
            let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
                .map { [UInt8]($0) }
            if parts.count == 1 { names.append(parts[0]) } else { paths.append(parts) }
        }
    }

    func areEqual(_ source: Int, _ target: Int) -> Bool {
        statusRule == .code ? source == target : source / 100 == target / 100
    }
}

/// Compares what source and target answered. Costs little where the bytes are equal, and is bounded by `TupleRules`
/// elsewhere. Not copyable: its scratch memory belongs to one thread.
package struct TupleComparator: ~Copyable {
    package let rules: TupleRules
    private var scanner = HTTPHeadScanner(responseTo: .get)
    private let sourceContent = TupleContent()
    private let targetContent = TupleContent()
    private var sourceTape = JSONTape()
    private var targetTape = JSONTape()

    package init(_ rules: TupleRules = TupleRules()) { self.rules = rules }

    /// The source's response beside the last answer of the target.
    package mutating func compare(_ tuple: Tuple) -> TupleVerdict {
        guard let target = tuple.targetResponses.last else { return .targetMissing }
        guard let source = tuple.sourceResponse else { return .sourceMissing }
        return compare(source: source, target: target, method: Self.method(tuple.sourceRequest))
    }

    /// `method` is the request's: an answer to HEAD has no content, whatever its fields say.
    package mutating func compare(
        source: TupleMessage, target: TupleMessage, method: HTTPMethod = .get
    ) -> TupleVerdict {
        guard let sourceHead = head(source, method), let targetHead = head(target, method) else {
            return .notComparable(.unreadable)
        }
        guard rules.areEqual(sourceHead.status, targetHead.status) else {
            return .statusDiffers(source: sourceHead.status, target: targetHead.status)
        }
        let left = sourceContent.find(source, sourceHead, limit: rules.bodyBytesLimit)
        let right = targetContent.find(target, targetHead, limit: rules.bodyBytesLimit)
        guard left.fault == nil, right.fault == nil else { return .notComparable(.unreadable) }
        switch (left.form, right.form) {
        case (.whole(let one), .whole(let other)):
            guard left.coding == .none, right.coding == .none else {
                let isEqual = left.coding == right.coding && one.elementsEqual(other)
                return isEqual ? .match : .notComparable(.unknownCoding)
            }
            return compare(one, other)
        case (.long(let count, let checksum, _), .long(let otherCount, let otherChecksum, _)):
            let isEqual = left.coding == right.coding && count == otherCount && checksum == otherChecksum
            return isEqual ? .match : .notComparable(.bodyTooLarge)
        default: return .notComparable(.bodyTooLarge)
        }
    }

    private static func method(_ request: TupleMessage?) -> HTTPMethod {
        guard let request, request.head.starts(with: "HEAD ".utf8) else { return .get }
        return .head
    }

    private mutating func head(_ message: TupleMessage, _ method: HTTPMethod) -> HTTPHead? {
        scanner.reset(responseTo: method)
        guard let isWhole = try? scanner.scan(message.head), isWhole else { return nil }
        return scanner.head
    }

    /// Two contents.
    mutating func compare(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> TupleVerdict {
        if one.count == other.count {
            guard let start = one.baseAddress, let otherStart = other.baseAddress else { return .match }
            if memcmp(start, otherStart, one.count) == 0 { return .match }
        }
        guard sourceTape.scan(one) == .whole, !sourceTape.roots.isEmpty, targetTape.scan(other) == .whole,
            !targetTape.roots.isEmpty
        else { return .bodyDiffers(Self.textDifference(one, other)) }
        return Self.compare(
            sourceTape, Array(sourceTape.roots), one, targetTape, Array(targetTape.roots), other, rules)
    }

    static func textDifference(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> BodyDifference {
        let example = { (bytes: UnsafeRawBufferPointer) in
            String(decoding: bytes.prefix(BodyDifference.exampleBytes), as: UTF8.self)
                + (bytes.count > BodyDifference.exampleBytes ? "…" : "")
        }
        return BodyDifference(path: "", kind: .text, source: example(one), target: example(other))
    }

    /// Values of two scanned texts.
    static func compare(
        _ tape: JSONTape, _ roots: [Int], _ text: UnsafeRawBufferPointer, _ otherTape: JSONTape, _ otherRoots: [Int],
        _ otherText: UnsafeRawBufferPointer, _ rules: TupleRules
    ) -> TupleVerdict {
        tape.entries.withUnsafeBufferPointer { entries in
            otherTape.entries.withUnsafeBufferPointer { otherEntries in
                guard let first = entries.baseAddress, let otherFirst = otherEntries.baseAddress,
                    let base = text.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    let otherBase = otherText.baseAddress?.assumingMemoryBound(to: UInt8.self)
                else { return .match }
                let left = JSONComparison.Side(text: base, entries: first)
                let right = JSONComparison.Side(text: otherBase, entries: otherFirst)
                var comparison = JSONComparison(left, right, rules: rules)
                let found = comparison.difference(roots, otherRoots)
                if comparison.isExhausted { return .notComparable(.tooManySteps) }
                guard let found else { return .match }
                return .bodyDiffers(
                    BodyDifference(
                        path: comparison.foundPath ?? "", kind: found.kind, source: left.example(found.left),
                        target: right.example(found.right)))
            }
        }
    }
}

extension TupleVerdict {
    /// As the last member of a tuple.
    func append(to text: inout TupleBuffer) {
        text.append(",\"comparison\":{\"result\":")
        text.append(quoted: name)
        switch self {
        case .match, .targetMissing, .sourceMissing: break
        case .statusDiffers(let source, let target):
            text.append(",\"source\":")
            text.append(Int64(source))
            text.append(",\"target\":")
            text.append(Int64(target))
        case .bodyDiffers(let difference):
            text.append(",\"path\":")
            text.append(quoted: difference.path)
            text.append(",\"kind\":")
            text.append(quoted: difference.kind.rawValue)
            text.append(",\"source\":")
            text.append(quoted: difference.source)
            text.append(",\"target\":")
            text.append(quoted: difference.target)
        case .notComparable(let reason):
            text.append(",\"reason\":")
            text.append(quoted: reason.rawValue)
        }
        text.append("}")
    }

    /// The result without its details, for metrics and reports.
    package var name: String {
        switch self {
        case .match: "match"
        case .statusDiffers: "statusDiffers"
        case .bodyDiffers: "bodyDiffers"
        case .targetMissing: "targetMissing"
        case .sourceMissing: "sourceMissing"
        case .notComparable: "notComparable"
        }
    }
}
