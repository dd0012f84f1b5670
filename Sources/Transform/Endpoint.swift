import HTTPMessage

/// The segments of a path, undecoded, as the engines' path tree splits it.
struct PathSegments {
    static let limit = 8
    private var ranges: InlineArray<8, Range<Int>> = InlineArray(repeating: 0..<0)
    private(set) var count = 0

    /// nil for a path that no table knows: not beginning with a slash, with an empty segment inside, or longer than
    /// `limit` segments. Slashes at the end do not count. `path` is a range of `bytes` without the query.
    init?(_ bytes: UnsafeRawBufferPointer, _ path: Range<Int>) {
        guard !path.isEmpty, bytes[path.lowerBound] == UInt8(ascii: "/") else { return nil }
        var end = path.upperBound
        while end > path.lowerBound + 1, bytes[end - 1] == UInt8(ascii: "/") { end -= 1 }
        var start = path.lowerBound + 1
        guard start < end else { return }
        for at in start...end where at == end || bytes[at] == UInt8(ascii: "/") {
            guard at > start, count < Self.limit else { return nil }
            ranges[count] = start..<at
            count += 1
            start = at + 1
        }
    }

    subscript(index: Int) -> Range<Int> { ranges[index] }
}

/// What an endpoint does with index names and documents, so far as rules care.
enum EndpointKind: Sendable {
    /// Nothing that the rules know.
    case other
    /// Index names in the path or its parameters alone.
    case indexOnly
    /// The same, over the documents of a type: without the type it covers all of the index.
    case search
    /// The body is a document.
    case document
    /// The body is a document, and the engine makes its id.
    case createWithoutID
    case update
    case bulk
    case multiSearch
    case multiGet
    case createIndex
    case putMapping
    case putTemplate
    case aliases
    case reindex
    /// Known, and without a counterpart in a typeless engine.
    case gone

    /// One index, into which one document or mapping goes.
    var writesToOneIndex: Bool {
        switch self {
        case .document, .createWithoutID, .update, .bulk, .createIndex: true
        default: false
        }
    }

    /// Members and parameters of the typed engines' document APIs may occur.
    var hasDocumentParameters: Bool {
        switch self {
        case .document, .createWithoutID, .update, .bulk, .multiGet, .indexOnly, .search: true
        default: false
        }
    }
}

/// One endpoint: its paths by segment, and what the typeless path is.
struct EndpointRow: Sendable {
    enum Segment: Sendable, Equatable {
        case literal([UInt8])
        case index
        /// Another index that the request makes.
        case newIndex
        case type
        case any
    }

    enum Part: Sendable, Equatable {
        case literal([UInt8])
        /// The captured segment of this number.
        case segment(Int)
    }

    /// One bit for each method's number.
    private let methods: UInt16
    let segments: [Segment]
    let kind: EndpointKind
    /// The path to send.
    let parts: [Part]
    let newMethod: HTTPMethod?
    let indexPlace: Int?
    let newIndexPlace: Int?
    let typePlace: Int?
    /// `parts` is the path that was matched.
    let isSamePath: Bool

    init(_ methods: String, _ path: String, _ kind: EndpointKind, to: String? = nil, newMethod: HTTPMethod? = nil) {
        let names = path.split(separator: "/").map(String.init)
        segments = names.map { name in
            switch name {
            case "{index}": .index
            case "{new}": .newIndex
            case "{type}": .type
            case let name where name.hasPrefix("{"): .any
            default: .literal(Array(name.utf8))
            }
        }
        parts = (to ?? path).split(separator: "/").map { part in
            names.firstIndex(of: String(part)).map { part.hasPrefix("{") ? .segment($0) : .literal(Array(part.utf8)) }
                ?? .literal(Array(part.utf8))
        }
        isSamePath = to == nil
        self.kind = kind
        self.newMethod = newMethod
        self.methods = methods.split(separator: ",").reduce(0) { bits, name in
            switch name {
            case "GET": bits | Self.bit(.get)
            case "HEAD": bits | Self.bit(.head)
            case "PUT": bits | Self.bit(.put)
            case "POST": bits | Self.bit(.post)
            case "DELETE": bits | Self.bit(.delete)
            default: preconditionFailure("no method \(name)")
            }
        }
        precondition(segments.count <= PathSegments.limit, "\(path) is too long")
        indexPlace = segments.firstIndex(of: .index)
        newIndexPlace = segments.firstIndex(of: .newIndex)
        typePlace = segments.firstIndex(of: .type)
    }

    private static func bit(_ method: HTTPMethod) -> UInt16 { 1 << UInt16(method.rawValue) }

    func takes(_ method: HTTPMethod) -> Bool { methods & Self.bit(method) != 0 }

    func matches(_ bytes: UnsafeRawBufferPointer, _ path: PathSegments) -> Bool {
        for place in segments.indices {
            let range = path[place]
            let isPrivate = bytes[range.lowerBound] == UInt8(ascii: "_")
            switch segments[place] {
            case .literal(let text):
                guard range.count == text.count else { return false }
                for at in 0..<text.count where bytes[range.lowerBound + at] != text[at] { return false }
            case .any: break
            case .index, .newIndex: if isPrivate, !Self.equals(bytes, range, "_all") { return false }
            case .type:
                // Types cannot begin with an underscore, but for the one that typeless requests have.
                if isPrivate, !Self.equals(bytes, range, "_doc"), !Self.equals(bytes, range, "_all") { return false }
            }
        }
        return true
    }

    static func equals(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for at in 0..<range.count where bytes[range.lowerBound + at] != text.utf8Start[at] { return false }
        return true
    }
}

/// A request's endpoint with the segments of its path.
struct Endpoint {
    let row: EndpointRow
    let segments: PathSegments

    var kind: EndpointKind { row.kind }
    var index: Range<Int>? { row.indexPlace.map { segments[$0] } }
    var newIndex: Range<Int>? { row.newIndexPlace.map { segments[$0] } }
    var type: Range<Int>? { row.typePlace.map { segments[$0] } }
}

/// Rows by number of segments; the first that matches decides.
struct EndpointTable: Sendable {
    /// Of a source that knows types: typed paths, then the others.
    static let typed = EndpointTable(EndpointRows.typed + EndpointRows.typeless)
    static let typeless = EndpointTable(EndpointRows.typeless)

    private let rows: [[EndpointRow]]
    private static let other = EndpointRow("GET", "/", .other)
    /// An index and an API that is not in the table.
    private static let indexOnly = (0...PathSegments.limit).map { count in
        EndpointRow(
            "GET", count == 0 ? "/" : "/{index}" + (1..<max(count, 1)).map { "/{\($0)}" }.joined(), .indexOnly)
    }

    init(_ all: [EndpointRow]) {
        rows = (0...PathSegments.limit).map { count in all.filter { $0.segments.count == count } }
    }

    enum Outcome {
        case endpoint(Endpoint)
        /// Segments that look like a type's, in no form that is known.
        case unknownTyped
        /// Not a path of the engine's form.
        case unknown
    }

    func find(_ method: HTTPMethod, _ bytes: UnsafeRawBufferPointer, _ path: Range<Int>) -> Outcome {
        guard let segments = PathSegments(bytes, path) else { return .unknown }
        for row in rows[segments.count] where row.takes(method) && row.matches(bytes, segments) {
            return .endpoint(Endpoint(row: row, segments: segments))
        }
        guard segments.count > 0, Self.isIndex(bytes, segments[0]) else {
            return .endpoint(Endpoint(row: Self.other, segments: segments))
        }
        if segments.count > 1, bytes[segments[1].lowerBound] != UInt8(ascii: "_") { return .unknownTyped }
        return .endpoint(Endpoint(row: Self.indexOnly[segments.count], segments: segments))
    }

    private static func isIndex(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        bytes[range.lowerBound] != UInt8(ascii: "_") || EndpointRow.equals(bytes, range, "_all")
    }
}
