import BlobStore
import Synchronization

/// Blobs in memory; counts reads and can fail on demand.
final class MemoryBlobStore: BlobStore {
    let location = "memory://repo"
    private let blobs: Mutex<[String: [UInt8]]>
    private let failing: Mutex<[String: BlobError.Code]> = Mutex([:])
    private let reads: Mutex<[String]> = Mutex([])

    init(_ blobs: [String: [UInt8]]) { self.blobs = Mutex(blobs) }

    func set(_ name: String, _ bytes: [UInt8]?) { blobs.withLock { $0[name] = bytes } }
    func fail(_ name: String, _ code: BlobError.Code) { failing.withLock { $0[name] = code } }
    var readNames: [String] { reads.withLock { $0 } }

    private func blob(_ name: String) throws(BlobError) -> [UInt8] {
        if let code = failing.withLock({ $0[name] }) {
            throw BlobError(code: code, location: location, name: name, reason: "told to fail")
        }
        guard let bytes = blobs.withLock({ $0[name] }) else {
            throw BlobError(code: .notFound, location: location, name: name, reason: "no such blob")
        }
        return bytes
    }

    func size(of name: String) throws(BlobError) -> Int64 { Int64(try blob(name).count) }

    func read(
        _ name: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer, cancellation: Cancellation
    ) throws(BlobError) {
        reads.withLock { $0.append(name) }
        if cancellation.isCancelled {
            throw BlobError(code: .cancelled, location: location, name: name, reason: "cancelled")
        }
        let bytes = try blob(name)
        guard offset >= 0, offset + Int64(buffer.count) <= Int64(bytes.count) else {
            throw BlobError(code: .truncated, location: location, name: name, reason: "ends at byte \(bytes.count)")
        }
        buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + buffer.count])
    }

    func list(folder: String, cancellation: Cancellation) throws(BlobError) -> [String] {
        blobs.withLock { blobs in
            blobs.keys.compactMap { name in
                let prefix = folder.isEmpty ? "" : folder + "/"
                guard name.hasPrefix(prefix) else { return nil }
                let rest = String(name.dropFirst(prefix.count))
                return rest.contains("/") ? nil : rest
            }
        }
    }
}
