/// Whether a request may change the source. A mutating one waits for the log; a read never does.
package enum RequestClass: Sendable, Equatable {
    case read, mutating
}

/// Classifies requests by method and target. What it does not know is mutating.
///
/// GET, HEAD and OPTIONS are reads. POST and DELETE are reads when `ReadEndpoints` lists the path, unless the
/// classifier is strict. Methods and paths keep their case, as RFC 9110 §9.1 and the engines have it. Pure, does not
/// allocate.
package struct RequestClassifier: Sendable {
    /// Every POST and DELETE is mutating.
    package let isStrict: Bool

    package init(isStrict: Bool = false) { self.isStrict = isStrict }

    /// `target` is the request target as sent, with query. Other forms than `/path?query` are not looked up.
    package func classify(method: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer) -> RequestClass {
        if Self.equals(method, "GET") || Self.equals(method, "HEAD") || Self.equals(method, "OPTIONS") { return .read }
        if isStrict { return .mutating }
        if Self.equals(method, "POST") { return EndpointTable.post.contains(target) ? .read : .mutating }
        if Self.equals(method, "DELETE") { return EndpointTable.delete.contains(target) ? .read : .mutating }
        return .mutating
    }

    private static func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        bytes.count == text.utf8CodeUnitCount && bytes.indices.allSatisfy { bytes[$0] == text.utf8Start[$0] }
    }
}

/// The patterns of one method by number of segments.
struct EndpointTable: Sendable {
    static let post = EndpointTable(ReadEndpoints.post)
    static let delete = EndpointTable(ReadEndpoints.delete)

    /// Longer paths are in no table.
    private static let segmentLimit = 7

    private enum Segment: Sendable {
        case literal([UInt8])
        case index
        /// `{type}` and `{name}`.
        case name
        case any
    }

    private var patterns: [[[Segment]]]

    init(_ endpoints: [StaticString]) {
        patterns = Array(repeating: [], count: Self.segmentLimit + 1)
        for endpoint in endpoints {
            let segments = endpoint.description.utf8.split(separator: UInt8(ascii: "/")).map { text -> Segment in
                switch String(text) {
                case "{index}": .index
                case "{type}", "{name}": .name
                case "{any}": .any
                default: .literal(Array(text))
                }
            }
            precondition(segments.count <= Self.segmentLimit, "\(endpoint) has \(segments.count) segments")
            patterns[segments.count].append(segments)
        }
    }

    func contains(_ target: UnsafeRawBufferPointer) -> Bool {
        guard target.first == UInt8(ascii: "/") else { return false }
        var end = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
        while end > 1, target[end - 1] == UInt8(ascii: "/") { end -= 1 }
        var count = 0
        for index in 0..<end where target[index] == UInt8(ascii: "/") {
            guard index + 1 < end, target[index + 1] != UInt8(ascii: "/") else { return false }
            count += 1
        }
        guard count <= Self.segmentLimit else { return false }
        let path = UnsafeRawBufferPointer(rebasing: target[..<end])
        for pattern in patterns[count] where Self.matches(path, pattern) { return true }
        return false
    }

    /// `path` has as many segments as `pattern`, none of them empty.
    private static func matches(_ path: UnsafeRawBufferPointer, _ pattern: [Segment]) -> Bool {
        var start = 1
        for segment in pattern {
            var end = start
            while end < path.count, path[end] != UInt8(ascii: "/") { end += 1 }
            let isPrivate = path[start] == UInt8(ascii: "_")
            switch segment {
            case .any: break
            case .name: if isPrivate { return false }
            case .index: if isPrivate, !equals(path, start..<end, Self.allIndices) { return false }
            case .literal(let text): if !equals(path, start..<end, text) { return false }
            }
            start = end + 1
        }
        return true
    }

    private static let allIndices = Array("_all".utf8)

    private static func equals(_ path: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: [UInt8]) -> Bool {
        guard range.count == text.count else { return false }
        for index in 0..<text.count where path[range.lowerBound + index] != text[index] { return false }
        return true
    }
}
