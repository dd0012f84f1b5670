import Synchronization

/// Checks the CRC-32 footers of a segment's large files, the stored-fields data and the doc values that hold the soft
/// deletes, by reading them through once. Several threads may share the work: each takes pieces until none is left.
package final class SegmentVerification: Sendable {
    private struct Piece {
        let file: LuceneFile
        let start: Int64
        let byteCount: Int64
        /// The last piece of its file.
        let endsFile: Bool
    }

    private let directory: any LuceneDirectory
    private let pieces: [Piece]
    private let nextPiece = Atomic<Int>(0)
    private let state: Mutex<(checksums: [UInt32], openCount: Int)>

    private static let blockBytes = 1 << 20
    /// The checksum covers all but itself.
    private static let checksumBytes: Int64 = 8

    package convenience init(_ segment: SegmentReader) {
        self.init(segment.directory, segment.largeFiles)
    }

    init(_ directory: any LuceneDirectory, _ files: [LuceneFile], pieceBytes: Int64 = 8 << 20) {
        self.directory = directory
        pieces = files.flatMap { file in
            let checkedBytes = max(file.length - Self.checksumBytes, 0)
            // A thread has some milliseconds of work with a piece.
            return stride(from: 0, to: max(checkedBytes, 1), by: Int64.Stride(pieceBytes)).map { start in
                let end = min(start + pieceBytes, checkedBytes)
                return Piece(file: file, start: start, byteCount: end - start, endsFile: end == checkedBytes)
            }
        }
        state = Mutex((Array(repeating: 0, count: pieces.count), pieces.count))
    }

    /// Whether there is something to share.
    package var isDivisible: Bool { pieces.count > 1 }

    /// Whether nobody has begun some piece yet.
    package var hasPiecesLeft: Bool { nextPiece.load(ordering: .relaxed) < pieces.count }

    /// Takes pieces until none is left. Returns true to one caller, the one whose piece was the last to be done, and
    /// only when every checksum is right. Once it has thrown, no caller is told true. `isCancelled` is asked once per
    /// mebibyte.
    package func work(isCancelled: () -> Bool) throws(LuceneError) -> Bool {
        var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        defer { buffer.deallocate() }
        while true {
            let index = nextPiece.add(1, ordering: .relaxed).oldValue
            guard index < pieces.count else { return false }
            if buffer.baseAddress == nil { buffer = .allocate(byteCount: Self.blockBytes, alignment: 64) }
            let checksum = try self.checksum(of: pieces[index], buffer, isCancelled)
            let checksums: [UInt32]? = state.withLock { state in
                state.checksums[index] = checksum
                state.openCount -= 1
                return state.openCount == 0 ? state.checksums : nil
            }
            guard let checksums else { continue }
            try compare(checksums, buffer)
            return true
        }
    }

    private func checksum(
        of piece: Piece, _ buffer: UnsafeMutableRawBufferPointer, _ isCancelled: () -> Bool
    ) throws(LuceneError) -> UInt32 {
        var position = piece.start
        let end = piece.start + piece.byteCount
        var checksum: UInt32 = 0
        while position < end {
            if isCancelled() {
                throw LuceneError(
                    .readFailed, location: directory.location, file: piece.file.name, offset: position,
                    message: "cancelled")
            }
            let count = Int(min(Int64(buffer.count), end - position))
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try piece.file.read(directory, at: position, into: part)
            checksum = CodecFooter.checksum(seed: checksum, of: UnsafeRawBufferPointer(part))
            position += Int64(count)
        }
        return checksum
    }

    /// Joins the checksums of each file's pieces and compares them with its footer.
    private func compare(
        _ checksums: [UInt32], _ buffer: UnsafeMutableRawBufferPointer
    ) throws(LuceneError) {
        var ofFile: UInt32 = 0
        for (piece, checksum) in zip(pieces, checksums) {
            ofFile =
                piece.start == 0
                ? checksum : CodecFooter.checksum(ofFirst: ofFile, second: checksum, secondByteCount: piece.byteCount)
            guard piece.endsFile else { continue }
            let footer = UnsafeMutableRawBufferPointer(rebasing: buffer[..<CodecFooter.byteCount])
            try piece.file.read(directory, at: piece.file.length - Int64(CodecFooter.byteCount), into: footer)
            guard CodecFooter.parse(UnsafeRawBufferPointer(footer)) == ofFile else {
                throw LuceneError(
                    .corrupt, location: directory.location, file: piece.file.name,
                    offset: piece.file.length - Self.checksumBytes,
                    message: "its bytes have the checksum 0x\(String(ofFile, radix: 16)), not the one stored here")
            }
        }
    }
}
