import CISAL
import Glibc
import TrafficLog

/// A segment of a file log, whose checksums are made right where the first byte says so, so that what they guard is
/// reached: no trap, no record twice or out of order, and damage is an error that stays.
///
///     byte 0         bit 0: right the checksums; bit 1: the watermark says that everything is on disk
///     bytes 1…       the segment, as in `FileLogFormat`
@Sendable func fuzzFileLog(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 1 else { return }
    var segment = Array(bytes[1...])
    if bytes[0] & 1 != 0 { rightChecksums(&segment) }
    let folder = FuzzFolder.shared.path
    FuzzFolder.write(segment, to: folder + "/00000000000000000000.log")
    if bytes[0] & 2 != 0 {
        FuzzFolder.write(watermark(durableBytes: segment.count), to: folder + "/DURABLE")
    } else {
        unlink(folder + "/DURABLE")
    }
    guard let reader = try? FileTrafficLogReader(path: folder) else { return }
    var next = reader.nextOffset
    var contentBytes = 0
    do throws(TrafficLogError) {
        while let record = try reader.next(within: .zero) {
            precondition(record.position.offset == next, "record \(record.position.offset) in place of \(next)")
            next += 1
            contentBytes += record.value.count + (record.key?.count ?? 0)
            // Reads what the record says is its memory.
            for byte in record.value where byte == 0xFF { contentBytes += 0 }
        }
    } catch {
        var again: TrafficLogError?
        do throws(TrafficLogError) { _ = try reader.next(within: .zero) } catch let second { again = second }
        precondition(again == error, "damage is passed over: \(error), then \(String(describing: again))")
    }
    precondition(contentBytes <= segment.count * 256, "more content than lz4 can hold")
}

/// A folder in memory, used again and again: a fuzz target has one thread.
private final class FuzzFolder: Sendable {
    static let shared = FuzzFolder()
    let path: String

    private init() {
        path = "/dev/shm/millrace-fuzz-\(getpid())"
        mkdir(path, 0o700)
        atexit {
            let path = FuzzFolder.shared.path
            for name in ["/00000000000000000000.log", "/DURABLE", ""] { remove(path + name) }
        }
    }

    static func write(_ bytes: [UInt8], to path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "\(path): errno \(errno)")
        defer { close(descriptor) }
        precondition(Glibc.write(descriptor, bytes, bytes.count) == bytes.count, "\(path): errno \(errno)")
    }
}

/// `FileLogWatermark` of the first segment.
private func watermark(durableBytes: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 32)
    put(0x3157_544D as UInt32, at: 0, in: &bytes)
    put(UInt64(durableBytes), at: 16, in: &bytes)
    put(crc(bytes[8...]), at: 4, in: &bytes)
    return bytes
}

/// Follows the lengths as they stand: header, batches, and the records of batches that are not compressed.
private func rightChecksums(_ bytes: inout [UInt8]) {
    guard bytes.count >= 40 else { return }
    put(0x3146_4641_5254_524D as UInt64, at: 0, in: &bytes)
    // The name says that its first record has offset 0.
    put(0 as UInt64, at: 16, in: &bytes)
    put(crc(bytes[0..<36]), at: 36, in: &bytes)
    let nonce: UInt64 = number(bytes, 8)
    var position = 40
    while position + 56 <= bytes.count {
        put(0x3142_544D as UInt32, at: position, in: &bytes)
        put(nonce, at: position + 8, in: &bytes)
        let rawBytes: UInt32 = number(bytes, position + 44)
        let storedBytes: UInt32 = number(bytes, position + 48)
        let end = position + 56 + Int(storedBytes)
        guard end <= bytes.count else { break }
        if rawBytes == storedBytes { rightRecords(&bytes, position + 56..<end) }
        put(crc(bytes[(position + 56)..<end]), at: position + 52, in: &bytes)
        put(crc(bytes[(position + 8)..<(position + 56)]), at: position + 4, in: &bytes)
        position = end
    }
}

private func rightRecords(_ bytes: inout [UInt8], _ range: Range<Int>) {
    var position = range.lowerBound
    while position + 8 <= range.upperBound {
        let bodyBytes: UInt32 = number(bytes, position)
        let end = position + 8 + Int(bodyBytes)
        guard end <= range.upperBound else { return }
        put(crc(bytes[(position + 8)..<end]), at: position + 4, in: &bytes)
        position = end
    }
}

private func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.withUnsafeBufferPointer { millrace_crc32(0, $0.baseAddress, $0.count) }
}

private func number<Number: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int) -> Number {
    bytes[offset..<(offset + Number.bitWidth / 8)].reversed().reduce(0) { $0 << 8 | Number($1) }
}

private func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int, in bytes: inout [UInt8]) {
    for index in 0..<(Number.bitWidth / 8) {
        bytes[offset + index] = UInt8(truncatingIfNeeded: number >> (8 * index))
    }
}
