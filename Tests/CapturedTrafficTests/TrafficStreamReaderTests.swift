import CapturedTraffic
import TestSupport
import Testing

@Suite struct TrafficStreamReaderTests {
    private static func record() -> [UInt8] {
        var position = TrafficStreamPosition()
        position.priorRequests = 2
        let buffer = RecordBuffer(byteCount: 2048, position: position)
        _ = buffer.land(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        buffer.writer.appendEndOfMessage(firstLineBytes: 16, headerBytes: 18, at: .golden)
        _ = buffer.land(Array("HTTP/1.1 200 OK\r\n\r\n".utf8), .write)
        buffer.writer.appendException("reset", at: .golden)
        buffer.writer.appendClose(at: .golden)
        return buffer.finish(isLast: true)
    }

    /// Everything that the reader gives, read through, so that a slice outside of the record would show under a
    /// sanitizer.
    private static func readWhole(_ record: [UInt8]) throws -> (Int, UInt64) {
        // Memory of its own, so that a read behind its end is one behind an allocation.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: record.count, alignment: 1)
        defer { bytes.deallocate() }
        bytes.copyBytes(from: record)
        var reader = try TrafficStreamReader(UnsafeRawBufferPointer(bytes))
        var count = 0
        var sum: UInt64 = 0
        let add = { (data: UnsafeRawBufferPointer) in for byte in data { sum = sum &* 31 &+ UInt64(byte) } }
        add(reader.header.connectionID)
        while let observation = try reader.next() {
            count += 1
            switch observation.event {
            case .read(let data), .write(let data), .readSegment(let data), .writeSegment(let data),
                .connectionException(let data):
                add(data)
            default: break
            }
        }
        return (count, sum)
    }

    @Test func truncatedRecordsAreAnErrorOrShorter() throws {
        let record = Self.record()
        let whole = try Self.readWhole(record).0
        var errors = 0
        for count in 0..<record.count {
            do {
                #expect(try Self.readWhole(Array(record[..<count])).0 <= whole)
            } catch let error as TrafficStreamError {
                errors += 1
                #expect(error.offset <= count && error.code == .truncated)
            }
        }
        #expect(errors > record.count / 2)
    }

    @Test func corruptRecordsNeverTrap() throws {
        var random = SeededGenerator(seed: 11)
        let record = Self.record()
        var errors = 0
        for _ in 0..<20_000 {
            var copy = record
            for _ in 0...random.below(3) { copy[random.below(copy.count)] = UInt8(truncatingIfNeeded: random.next()) }
            do { _ = try Self.readWhole(copy) } catch { errors += 1 }
        }
        #expect(errors > 100)
        for _ in 0..<20_000 {
            do { _ = try Self.readWhole(random.bytes(random.below(40))) } catch { errors += 1 }
        }
        #expect(errors > 1000)
    }

    @Test(
        arguments: [
            ([0x00], TrafficStreamError.Code.invalidTag, 0), ([0x06, 0x00], .invalidTag, 0), ([0x0F], .invalidTag, 0),
            ([0x0A], .truncated, 1), ([0x0A, 0x05, 0x61], .truncated, 1),
            ([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], .truncated, 1),
            ([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], .truncated, 1),
            ([0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], .varintTooLong, 1),
            ([0x80, 0x80, 0x80, 0x80, 0x80, 0x01], .invalidTag, 0), ([0x19, 1, 2, 3], .truncated, 1),
            ([0x1D, 1], .truncated, 1), ([0x1C], .invalidGroup, 1), ([0x1B, 0x24], .invalidGroup, 1),
            ([0x1B], .truncated, 1),
            ([0x18, 0x01, 0x12, 0x02, 0x22, 0x05], .truncated, 5), ([0x12, 0x03, 0x0A, 0x01, 0x08], .truncated, 5),
        ] as [([UInt8], TrafficStreamError.Code, Int)])
    func brokenRecordsNameTheByte(record: [UInt8], code: TrafficStreamError.Code, offset: Int) {
        do {
            _ = try Self.readWhole(record)
            Issue.record("\(record) was taken")
        } catch let error as TrafficStreamError {
            #expect(error.code == code && error.offset == offset, "\(error)")
        } catch {
            Issue.record("\(error)")
        }
    }

    @Test func deepGroupsEndInAnError() {
        let groups = [UInt8](repeating: 0x1B, count: 100_000)
        #expect(throws: TrafficStreamError.self) { try Self.readWhole(groups) }
        let legal = [UInt8](repeating: 0x1B, count: 100) + [UInt8](repeating: 0x1C, count: 100)
        #expect(throws: Never.self) { try Self.readWhole(legal) }
    }

    @Test func afterABrokenObservationTheNextOneIsRead() throws {
        let record: [UInt8] = [0x12, 0x02, 0x22, 0x05, 0x12, 0x02, 0x5A, 0x00]
        try record.withUnsafeBytes { bytes in
            var reader = try TrafficStreamReader(bytes)
            #expect(reader.header.observationCount == 2)
            #expect(throws: TrafficStreamError.self) { try reader.next() }
            guard case .close? = try reader.next()?.event else {
                Issue.record("no close")
                return
            }
            #expect(try reader.next() == nil)
        }
    }
}
