import Settings
import TrafficLog

/// A record with its key and where it lies.
struct SourceRecord {
    /// The connection's id; nil when the archive has none.
    let key: [UInt8]?
    let value: [UInt8]
    /// `partition:offset` of a log, `line N` of an archive.
    let position: String
    /// Milliseconds since 1970; nil when unknown.
    let timestampMilliseconds: Int64?
}

/// Records in order. Those of one connection come in the order they were written in.
protocol TrafficSource: AnyObject {
    /// For messages.
    var location: String { get }
    /// nil at the end. A `.unreadable` failure concerns one record; the next call goes on.
    func next() throws(TrafficFailure) -> SourceRecord?
}

/// Where records lie, as the operator writes it.
enum TrafficPlace {
    case archive(path: String)
    case log(TrafficLogAddress)

    init(_ text: String) throws(TrafficFailure) {
        if text.hasPrefix("archive:"), !text.hasPrefix("archive:/") {
            self = .archive(path: String(text.dropFirst("archive:".count)))
        } else if text.hasSuffix(".gz"), !text.contains("://") {
            self = .archive(path: text)
        } else {
            do throws(TrafficLogError) {
                let address = try TrafficLogAddress.parse(text)
                if case .archive(let path, _) = address { self = .archive(path: path) } else { self = .log(address) }
            } catch {
                throw TrafficFailure(.usage, error.message)
            }
        }
    }

    func openSource(_ options: TrafficLogAddress.Options) throws(TrafficFailure) -> any TrafficSource {
        switch self {
        case .archive(let path): return try TrafficArchiveReader(path: path)
        case .log(let address): return try LoggedTrafficSource(address, options)
        }
    }
}
