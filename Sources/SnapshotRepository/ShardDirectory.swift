import BlobStore
import LuceneFormat
import SnapshotFormat

/// The Lucene files of one shard of a snapshot, over blobs: a file is a blob, several parts of one size, or bytes
/// within the shard's list. Thread-safe; a read blocks on the store.
package final class ShardDirectory: LuceneDirectory {
    /// `<index>/<shard>`.
    package let location: String
    /// The folder of the blobs, for messages.
    package let folder: String
    /// In the order of the list.
    package let files: [ShardSnapshot.File]
    private let positions: [String: Int]
    private let blobs: RepositoryBlobs

    init(location: String, folder: String, snapshot: ShardSnapshot, blobs: RepositoryBlobs) {
        self.location = location
        self.folder = folder
        files = snapshot.files
        positions = Dictionary(
            snapshot.files.enumerated().map { ($0.element.physicalName, $0.offset) },
            uniquingKeysWith: { first, _ in first })
        self.blobs = blobs
    }

    package var fileNames: [String] { files.map(\.physicalName) }

    /// All files together.
    package var totalBytes: Int64 {
        files.reduce(0) { sum, file in
            let (total, overflows) = sum.addingReportingOverflow(file.length)
            return overflows ? Int64.max : total
        }
    }

    package func length(of file: String) -> Int64? { positions[file].map { files[$0].length } }

    package func read(
        _ file: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(RepositoryError) {
        guard let position = positions[file] else {
            throw RepositoryError(
                .unreadable, object: "\(location)/\(file)",
                message: "shard \(location): the snapshot has no file '\(file)' (\(blobs.place(folder)))")
        }
        let entry = files[position]
        guard offset >= 0, offset <= entry.length, Int64(buffer.count) <= entry.length - offset else {
            throw RepositoryError(
                .unreadable, object: "\(location)/\(file)",
                message: "shard \(location): file '\(file)' has \(entry.length) bytes, "
                    + "\(buffer.count) bytes at byte \(offset) asked for")
        }
        guard buffer.count > 0 else { return }
        if let content = entry.inlineContent {
            content.withUnsafeBytes { bytes in
                buffer.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[Int(offset)..<Int(offset) + buffer.count]))
            }
            return
        }
        try readParts(entry, at: offset, into: buffer)
    }

    private func readParts(
        _ entry: ShardSnapshot.File, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(RepositoryError) {
        var done = 0
        while done < buffer.count {
            let position = offset + Int64(done)
            let number = position / entry.partSize
            let part = entry.part(number)
            let start = position - number * entry.partSize
            let count = Int(min(Int64(buffer.count - done), part.length - start))
            do throws(BlobError) {
                try blobs.store.read(
                    "\(folder)/\(part.name)", at: start,
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]),
                    cancellation: blobs.cancellation)
            } catch { throw located(error, entry) }
            done += count
        }
    }

    /// Checks that every blob is there with the length that the list gives; costs a request a blob.
    package func checkSizes() throws(RepositoryError) {
        for entry in files where entry.inlineContent == nil {
            for number in 0..<entry.partCount {
                let part = entry.part(number)
                let size: Int64
                do throws(BlobError) { size = try blobs.store.size(of: "\(folder)/\(part.name)") } catch {
                    throw located(error, entry)
                }
                guard size == part.length else {
                    throw RepositoryError(
                        .unreadable, object: "\(folder)/\(part.name)",
                        message: "shard \(location): file '\(entry.physicalName)': "
                            + "\(blobs.place("\(folder)/\(part.name)")): \(size) bytes, \(part.length) expected")
                }
            }
        }
    }

    private func located(_ error: BlobError, _ entry: ShardSnapshot.File) -> RepositoryError {
        let plain = RepositoryError(error)
        return RepositoryError(
            plain.code, object: error.name,
            message: "shard \(location): file '\(entry.physicalName)': \(error.message)", isRetryable: plain.isRetryable
        )
    }
}
