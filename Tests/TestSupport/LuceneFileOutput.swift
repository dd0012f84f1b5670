import CISAL
import Glibc

/// A file written front to back with its CRC-32, through a buffer, so that gigabytes need no memory. When it grows
/// beyond `partBytes` it becomes `PATH.part0`, `PATH.part1`, … as a repository splits large blobs.
package final class LuceneFileOutput {
    package let path: String
    package private(set) var length: Int64 = 0
    /// CRC-32 of everything up to the footer's checksum, the value in the footer; valid after `finish()`.
    package private(set) var footerChecksum: UInt32 = 0
    private let partBytes: Int64
    private var partIndex = 0
    private var partFilled: Int64 = 0
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private var checksum: UInt32 = 0
    private static let bufferBytes = 1 << 20

    package init(path: String, partBytes: Int64 = .max) throws {
        self.path = path
        self.partBytes = partBytes
        buffer.reserveCapacity(Self.bufferBytes + (1 << 16))
        descriptor = try Self.create(path)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func create(_ path: String) throws -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileFailure("open \(path)", errno) }
        return descriptor
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws {
        length += Int64(bytes.count)
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    package func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    package func write(_ build: (inout LuceneBytes) -> Void) throws {
        var piece = LuceneBytes()
        build(&piece)
        try write(piece.bytes)
    }

    /// CodecUtil.writeFooter.
    package func writeFooter() throws {
        try write {
            $0.bigInt32(0xC028_93E8)
            $0.bigInt32(0)
        }
        try flush()
        footerChecksum = checksum
        try write { $0.bigInt64(Int64(footerChecksum)) }
    }

    /// Closes the file; nothing may be written afterwards.
    package func finish() throws {
        try flush()
        close(descriptor)
        descriptor = -1
    }

    private func flush() throws {
        checksum = millrace_crc32(checksum, buffer, buffer.count)
        var start = 0
        while start < buffer.count {
            if partFilled == partBytes { try startNextPart() }
            let count = Int(min(Int64(buffer.count - start), partBytes - partFilled))
            try buffer.withUnsafeBytes {
                try FileTree.writeAll(descriptor, UnsafeRawBufferPointer(rebasing: $0[start..<start + count]), path)
            }
            start += count
            partFilled += Int64(count)
        }
        buffer.removeAll(keepingCapacity: true)
    }

    private func startNextPart() throws {
        if partIndex == 0 && rename(path, path + ".part0") != 0 { throw FileFailure("rename \(path)", errno) }
        close(descriptor)
        partIndex += 1
        partFilled = 0
        descriptor = try Self.create("\(path).part\(partIndex)")
    }
}
