/// The files of one Lucene index (one shard), wherever their bytes lie. Calls come from any thread.
package protocol LuceneDirectory: Sendable {
    /// Names the shard in messages, such as "index/0".
    var location: String { get }
    var fileNames: [String] { get }
    /// Length in bytes; nil when there is no such file.
    func length(of file: String) -> Int64?
    /// Fills `buffer` exactly with the bytes from `offset` on, or throws.
    func read(_ file: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws
}

/// One Lucene file: a file of the directory, or a range of a compound file.
struct LuceneFile: Sendable {
    /// For messages.
    let name: String
    let physicalName: String
    /// Where this file's first byte is in the physical file.
    let offset: Int64
    let length: Int64

    /// Fills `buffer` with the bytes from `position` of this file on. The range lies within the file.
    func read(
        _ directory: any LuceneDirectory, at position: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(LuceneError) {
        guard position >= 0, position <= length, Int64(buffer.count) <= length - position else {
            throw LuceneError(
                .corrupt, location: directory.location, file: name, offset: position,
                message: "a read of \(buffer.count) bytes leaves the file of \(length) bytes")
        }
        if buffer.count == 0 { return }
        do {
            try directory.read(physicalName, at: offset + position, into: buffer)
        } catch {
            throw LuceneError(
                .readFailed, location: directory.location, file: name, offset: position,
                message: "reading \(buffer.count) bytes failed", underlying: error)
        }
    }

    /// The whole file, when it is at most `limitBytes` long.
    func readAll(_ directory: any LuceneDirectory, limitBytes: Int64) throws(LuceneError) -> [UInt8] {
        guard length <= limitBytes else {
            throw LuceneError(
                .corrupt, location: directory.location, file: name,
                message: "\(length) bytes are more than a file of this kind can have (\(limitBytes))")
        }
        var bytes = [UInt8](repeating: 0, count: Int(length))
        var failure: LuceneError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(LuceneError) { try read(directory, at: 0, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}

/// Finds the files of one segment, within its compound file or beside it.
struct SegmentFiles: Sendable {
    let directory: any LuceneDirectory
    let segmentName: String
    /// Entry names without the segment's name (".fdt", "_Lucene80_0.dvd"); empty when the segment is not compound.
    private(set) var compoundEntries: [String: LuceneFile] = [:]

    init(_ directory: any LuceneDirectory, segmentName: String) {
        self.directory = directory
        self.segmentName = segmentName
    }

    mutating func setCompoundEntries(_ entries: [String: LuceneFile]) { compoundEntries = entries }

    /// A file of the directory itself: never looked for in the compound file.
    func outerFile(_ name: String) throws(LuceneError) -> LuceneFile {
        guard let length = directory.length(of: name) else {
            throw LuceneError(
                .missingFile, location: directory.location, file: name, message: "the index names it but it is missing")
        }
        guard length >= 0 else {
            throw LuceneError(.corrupt, location: directory.location, file: name, message: "negative length \(length)")
        }
        return LuceneFile(name: name, physicalName: name, offset: 0, length: length)
    }

    /// The file whose name is the segment's name followed by `suffix`.
    func file(suffix: String) throws(LuceneError) -> LuceneFile {
        if let entry = compoundEntries[suffix] { return entry }
        return try outerFile(segmentName + suffix)
    }
}
