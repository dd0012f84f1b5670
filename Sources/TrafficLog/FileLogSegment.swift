import CLZ4
import Glibc

/// A segment file that is open for reading.
final class FileLogSegment: Sendable {
    /// What stands at a position.
    enum Batch: Equatable {
        /// A whole header; the payload is all there, unchecked.
        case batch(FileLogBatchHeader)
        /// The file ends exactly here.
        case end
        /// Something else, and what.
        case bad(String)
    }

    let path: String
    let baseOffset: UInt64
    let nonce: UInt64
    let createdMilliseconds: Int64
    let descriptor: Int32

    /// nil when the file has no valid header yet (its writer ended while it was being made).
    init?(folder: String, baseOffset: UInt64) throws(TrafficLogError) {
        path = folder + "/" + FileLogFormat.segmentName(baseOffset)
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw FileLogFailure.system(errno, path, "the segment cannot be opened")
        }
        var bytes = [UInt8](repeating: 0, count: FileLogFormat.segmentHeaderBytes)
        let file = descriptor
        let count = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, $0.count, 0) }
        guard count == bytes.count, let header = bytes.withUnsafeBytes({ FileLogSegmentHeader($0) }),
            header.baseOffset == baseOffset
        else {
            close(descriptor)
            return nil
        }
        self.baseOffset = baseOffset
        nonce = header.nonce
        createdMilliseconds = header.createdMilliseconds
    }

    deinit { close(descriptor) }

    func size() throws(TrafficLogError) -> Int64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileLogFailure.system(errno, path, "no size") }
        return Int64(status.st_size)
    }

    /// Looks at the header at `position`; `expectedOffset` is the offset its first record must have.
    func batch(at position: Int64, expectedOffset: UInt64) throws(TrafficLogError) -> Batch {
        let size = try size()
        guard position < size else {
            return position == size ? .end : .bad("the file ends at byte \(size)")
        }
        guard size - position >= FileLogFormat.batchHeaderBytes else { return .bad("a batch is cut off") }
        var bytes: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
        let header = try withUnsafeMutableBytes(of: &bytes) { (raw) throws(TrafficLogError) in
            try read(raw, at: position)
            return FileLogBatchHeader(UnsafeRawBufferPointer(raw), nonce: nonce)
        }
        guard let header else { return .bad("there is no batch") }
        guard header.firstOffset == expectedOffset else {
            return .bad("a batch begins with record \(header.firstOffset), record \(expectedOffset) expected")
        }
        guard size - position >= header.byteCount else { return .bad("a batch is cut off") }
        return .batch(header)
    }

    /// Reads, checks and decompresses the batch at `position`; a text says what is wrong with it.
    func block(_ header: FileLogBatchHeader, at position: Int64) throws(TrafficLogError) -> Result<FileLogBlock, Damage>
    {
        let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, Int(header.storedBytes)), alignment: 16)
        let payload = UnsafeMutableRawBufferPointer(rebasing: stored[0..<Int(header.storedBytes)])
        do {
            try read(payload, at: position + Int64(FileLogFormat.batchHeaderBytes))
        } catch {
            stored.deallocate()
            throw error
        }
        guard FileLogFormat.crc(UnsafeRawBufferPointer(payload)) == header.payloadCRC else {
            stored.deallocate()
            return .failure(Damage(reason: "the checksum of a batch does not match"))
        }
        var raw = payload
        if header.storedBytes != header.rawBytes {
            raw = .allocate(byteCount: Int(header.rawBytes), alignment: 16)
            let count = LZ4_decompress_safe(
                payload.baseAddress?.assumingMemoryBound(to: CChar.self),
                raw.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(payload.count), Int32(raw.count))
            stored.deallocate()
            guard count == Int32(raw.count) else {
                raw.deallocate()
                return .failure(Damage(reason: "a batch does not decompress"))
            }
        }
        let block = FileLogBlock(owning: raw, header: header)
        if let reason = block.firstFault() { return .failure(Damage(reason: reason)) }
        return .success(block)
    }

    struct Damage: Error {
        let reason: String
    }

    /// The largest `durableBytes` of the whole batch headers behind `position`: what was once known to be on disk.
    func durableBytes(claimedBehind position: Int64) throws(TrafficLogError) -> UInt64 {
        let size = try size()
        var largest: UInt64 = 0
        var start = position + 1
        let window = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { window.deallocate() }
        while size - start >= FileLogFormat.batchHeaderBytes {
            let count = Int(min(Int64(window.count), size - start))
            let bytes = UnsafeMutableRawBufferPointer(rebasing: window[0..<count])
            try read(bytes, at: start)
            let view = UnsafeRawBufferPointer(bytes)
            for place in 0...(count - FileLogFormat.batchHeaderBytes)
            where view.little(place, as: UInt32.self) == FileLogFormat.batchMagic {
                if let header = FileLogBatchHeader(UnsafeRawBufferPointer(rebasing: view[place...]), nonce: nonce) {
                    largest = max(largest, header.durableBytes)
                }
            }
            start += Int64(count - FileLogFormat.batchHeaderBytes + 1)
        }
        return largest
    }

    /// Fills `buffer` from `position`, where the file is known to hold that much.
    private func read(_ buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(TrafficLogError) {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, Int(position) + done)
            if count > 0 {
                done += count
            } else if count == 0 {
                throw TrafficLogError(
                    .corrupt, "\(path): the file ends at byte \(position + Int64(done)) while it is read", file: path,
                    offset: position + Int64(done))
            } else if errno != EINTR {
                throw FileLogFailure.system(errno, path, "reading at byte \(position + Int64(done)) failed")
            }
        }
    }

    /// An error that names this file and `position`.
    func corrupt(at position: Int64, _ reason: String) -> TrafficLogError {
        TrafficLogError(.corrupt, "\(path) at byte \(position): \(reason)", file: path, offset: position)
    }
}

/// The decompressed records of a batch. Records that were read from it keep it alive.
// Sound: the memory is written before `init` and never after; it is freed with the last reference. `held` is set before
// any record is delivered.
final class FileLogBlock: @unchecked Sendable {
    let raw: UnsafeMutableRawBufferPointer
    let header: FileLogBatchHeader
    private var held: HeldBytes?

    init(owning raw: UnsafeMutableRawBufferPointer, header: FileLogBatchHeader) {
        self.raw = raw
        self.header = header
    }

    deinit {
        held?.add(-raw.count)
        raw.deallocate()
    }

    /// Counts the memory for as long as it lives.
    func account(_ held: HeldBytes) {
        guard self.held == nil else { return }
        self.held = held
        held.add(raw.count)
    }

    /// Checks every record; nil when all are sound.
    func firstFault() -> String? {
        let bytes = UnsafeRawBufferPointer(raw)
        var position = 0
        for number in 0..<UInt64(header.recordCount) {
            let offset = header.firstOffset + number
            guard bytes.count - position >= FileLogFormat.recordHeaderBytes else {
                return "record \(offset) is cut off"
            }
            let bodyBytes = Int(bytes.little(position, as: UInt32.self))
            let start = position + FileLogFormat.recordHeaderBytes
            guard bodyBytes >= FileLogFormat.bodyHeaderBytes, bodyBytes <= bytes.count - start else {
                return "record \(offset) has a length of \(bodyBytes)"
            }
            let body = UnsafeRawBufferPointer(rebasing: bytes[start..<start + bodyBytes])
            guard FileLogFormat.crc(body) == bytes.little(position + 4, as: UInt32.self) else {
                return "the checksum of record \(offset) does not match"
            }
            guard FileLogFormat.bodyHeaderBytes + Int(body.little(4, as: UInt16.self)) <= bodyBytes else {
                return "the key of record \(offset) is longer than the record"
            }
            position = start + bodyBytes
        }
        return position == bytes.count ? nil : "\(bytes.count - position) bytes follow the last record of a batch"
    }

    /// The record at `position` of the checked block, and the position after it.
    func record(at position: Int, offset: UInt64) -> (record: LoggedRecord, next: Int) {
        let bytes = UnsafeRawBufferPointer(raw)
        let start = position + FileLogFormat.recordHeaderBytes
        let end = start + Int(bytes.little(position, as: UInt32.self))
        let keyStart = start + FileLogFormat.bodyHeaderBytes
        let keyEnd = keyStart + Int(bytes.little(start + 4, as: UInt16.self))
        let record = LoggedRecord(
            key: UnsafeRawBufferPointer(rebasing: bytes[keyStart..<keyEnd]),
            value: UnsafeRawBufferPointer(rebasing: bytes[keyEnd..<end]),
            position: LogPosition(partition: 0, offset: Int64(offset)),
            timestampMilliseconds: header.timestampMilliseconds &+ Int64(bytes.little(start, as: UInt32.self)),
            owner: self)
        return (record, end)
    }
}

/// Errors of the file system as the log's.
enum FileLogFailure {
    static func system(_ number: Int32, _ path: String, _ doing: String) -> TrafficLogError {
        let code: TrafficLogError.Code = number == ENOSPC || number == EDQUOT ? .diskFull : .unavailable
        return TrafficLogError(code, "\(path): \(doing): \(String(cString: strerror(number)))", file: path)
    }
}

/// The segments of a folder.
enum FileLogFolder {
    /// Base offsets, ascending.
    static func segments(_ folder: String) throws(TrafficLogError) -> [UInt64] {
        guard let stream = opendir(folder) else {
            throw FileLogFailure.system(errno, folder, "the log's folder cannot be read")
        }
        defer { closedir(stream) }
        var found: [UInt64] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let base = FileLogFormat.baseOffset(ofName: name) { found.append(base) }
        }
        return found.sorted()
    }

    /// Makes new and removed names durable.
    static func sync(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = fsync(descriptor)
        close(descriptor)
    }
}
