import Glibc
import TestSupport
import Testing

@testable import TrafficLog

/// Kills at every byte and damage at every byte: what was acknowledged is there or its loss is an error.
@Suite struct FileLogDamageTests {
    /// A log with one segment of several batches, and where each batch ends.
    private struct Sample {
        let name: String
        let bytes: [UInt8]
        let watermark: [UInt8]
        let records: [[UInt8]]
        /// File length and record count after each batch.
        let marks: [(bytes: Int, records: Int)]
    }

    private func contents(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        var status = stat()
        fstat(descriptor, &status)
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        _ = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        return bytes
    }

    private func put(_ bytes: some Collection<UInt8>, at path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { close(descriptor) }
        _ = Array(bytes).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }

    private func sample(seed: UInt64, batchCount: Int = 5) throws -> Sample {
        let folder = try TemporaryFolder()
        var random = SeededGenerator(seed: seed)
        let log = try FileTrafficLog(path: folder.path)
        let sink = CollectingSink()
        let path = folder.path + "/" + FileLogFormat.segmentName(0)
        var records: [[UInt8]] = []
        var marks = [(bytes: FileLogFormat.segmentHeaderBytes, records: 0)]
        for _ in 0..<batchCount {
            // One append a batch: each is flushed before the next.
            let value = random.below(2) == 0 ? random.bytes(random.below(60)) : [UInt8](repeating: 7, count: 90)
            try log.append(RecordSegment(copying: value), key: ConnectionKey("key"), sink: sink)
            #expect(log.flush(within: .seconds(60)))
            records.append(value)
            marks.append((contents(path).count, records.count))
        }
        log.close()
        return Sample(
            name: FileLogFormat.segmentName(0), bytes: contents(path),
            watermark: contents(folder.path + "/" + FileLogWatermark.name), records: records, marks: marks)
    }

    @Test func killedAtEveryByteTheLogOpensWithTheDurablePrefixAndGoesOn() throws {
        let sample = try sample(seed: 11)
        for length in 0...sample.bytes.count {
            let folder = try TemporaryFolder()
            put(sample.bytes.prefix(length), at: folder.path + "/" + sample.name)
            let whole = sample.marks.last { $0.bytes <= length } ?? (0, 0)
            let before = try FileTrafficLogReader(path: folder.path).readAll()
            #expect(before.map(\.value) == Array(sample.records.prefix(whole.records)), "length \(length)")
            let log = try FileTrafficLog(path: folder.path)
            #expect((log.recovery?.cutBytes ?? 0) == Int64(length - whole.bytes), "length \(length)")
            #expect(log.nextOffset == Int64(whole.records))
            let sink = CollectingSink()
            try log.append(RecordSegment(1, "after"), key: ConnectionKey("key"), sink: sink)
            #expect(log.flush(within: .seconds(60)))
            log.close()
            #expect(sink.durableTokens == [1])
            let after = try FileTrafficLogReader(path: folder.path).readAll()
            #expect(after.map(\.value) == Array(sample.records.prefix(whole.records)) + [Array("after".utf8)])
        }
    }

    @Test func aTailOfZerosOrRubbishIsCutOff() throws {
        let sample = try sample(seed: 12)
        for tail in [[UInt8](repeating: 0, count: 3000), SeededGenerator(seed: 3).copyBytes(500)] {
            let folder = try TemporaryFolder()
            put(sample.bytes + tail, at: folder.path + "/" + sample.name)
            put(sample.watermark, at: folder.path + "/" + FileLogWatermark.name)
            #expect(try FileTrafficLogReader(path: folder.path).readAll().count == sample.records.count)
            let log = try FileTrafficLog(path: folder.path)
            log.close()
            #expect(log.recovery?.cutBytes == Int64(tail.count))
            #expect(log.recovery?.keptBytes == Int64(sample.bytes.count))
        }
    }

    @Test func aFlippedBitIsAnErrorThatNamesFileAndByte() throws {
        let sample = try sample(seed: 13)
        var random = SeededGenerator(seed: 14)
        for place in sample.bytes.indices {
            var bytes = sample.bytes
            bytes[place] ^= 1 << UInt8(random.below(8))
            let folder = try TemporaryFolder()
            put(bytes, at: folder.path + "/" + sample.name)
            put(sample.watermark, at: folder.path + "/" + FileLogWatermark.name)
            // The four bytes in the header of a segment that mean nothing are covered by its checksum as well.
            let start = sample.marks.last { $0.bytes <= place }?.bytes ?? 0
            #expect(
                performing: {
                    let log = try FileTrafficLog(path: folder.path)
                    log.close()
                },
                throws: {
                    ($0 as? TrafficLogError)?.code == .corrupt && ($0 as? TrafficLogError)?.offset == Int64(start)
                })
            // A reader gives what stands in front of the damage, then the error, again and again.
            let reader = try FileTrafficLogReader(path: folder.path)
            var values: [[UInt8]] = []
            var codes: [TrafficLogError.Code] = []
            while codes.count < 2 {
                do {
                    guard let record = try reader.next() else { break }
                    values.append(Array(record.value))
                } catch {
                    codes.append(error.code)
                }
            }
            if start >= FileLogFormat.segmentHeaderBytes {
                #expect(codes == [.corrupt, .corrupt], "byte \(place)")
                #expect(
                    values
                        == Array(
                            sample.records.prefix { _ in true }.prefix(
                                sample.marks.last { $0.bytes <= place }?.records ?? 0)))
            } else {
                #expect(values.isEmpty)
            }
        }
    }

    @Test func withoutTheWatermarkDamageInTheMiddleIsStillFound() throws {
        let sample = try sample(seed: 15)
        // In front of the last batch but one: the batches behind it say that this was on disk.
        for place in FileLogFormat.segmentHeaderBytes..<sample.marks[sample.marks.count - 2].bytes {
            var bytes = sample.bytes
            bytes[place] ^= 0x10
            let folder = try TemporaryFolder()
            put(bytes, at: folder.path + "/" + sample.name)
            #expect(
                performing: {
                    let log = try FileTrafficLog(path: folder.path)
                    log.close()
                }, throws: { ($0 as? TrafficLogError)?.code == .corrupt })
        }
    }

    @Test func aSegmentShorterThanItsDurablePartIsAnError() throws {
        let sample = try sample(seed: 16)
        let folder = try TemporaryFolder()
        put(sample.bytes.prefix(sample.marks[3].bytes), at: folder.path + "/" + sample.name)
        put(sample.watermark, at: folder.path + "/" + FileLogWatermark.name)
        #expect(
            performing: {
                let log = try FileTrafficLog(path: folder.path)
                log.close()
            }, throws: { ($0 as? TrafficLogError)?.code == .corrupt })
    }

    @Test func capturedBytesThatLookLikeABatchAreNotTakenForOne() throws {
        let sample = try sample(seed: 17)
        let folder = try TemporaryFolder()
        let log = try FileTrafficLog(path: folder.path)
        let sink = CollectingSink()
        // The value is a whole segment of another log, and it is cut off in the middle.
        var settings = FileLogSettings()
        settings.isCompressed = false
        try log.append(RecordSegment(copying: sample.bytes), key: ConnectionKey("k"), sink: sink)
        #expect(log.flush(within: .seconds(60)))
        log.close()
        let path = folder.path + "/" + sample.name
        put(contents(path).dropLast(), at: path)
        unlink(folder.path + "/" + FileLogWatermark.name)
        let again = try FileTrafficLog(path: folder.path)
        again.close()
        #expect(again.nextOffset == 0)
        #expect((again.recovery?.cutBytes ?? 0) > 0)
    }

    /// Random appends over rotations and reopenings, against a plain list.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func randomAppendsEqualAList(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let folder = try TemporaryFolder()
        var model: [PlainRecord] = []
        let reader = try FileTrafficLogReader(path: folder.path)
        var followed: [PlainRecord] = []
        for _ in 0..<8 {
            var settings = FileLogSettings()
            settings.segmentBytes = Int64(2000 + random.below(30_000))
            settings.batchBytes = 500 + random.below(5000)
            settings.isCompressed = random.below(2) == 0
            settings.syncPolicy = random.below(3) == 0 ? .none : .always
            let log = try FileTrafficLog(path: folder.path, settings: settings)
            #expect(log.recovery == nil && log.nextOffset == Int64(model.count))
            let sink = CollectingSink()
            for _ in 0..<random.below(120) {
                let value =
                    random.below(3) == 0
                    ? random.bytes(random.below(3000)) : [UInt8](repeating: 65, count: random.below(900))
                let key = "c\(random.below(5))"
                try log.append(RecordSegment(copying: value), key: ConnectionKey(key), sink: sink)
                model.append(PlainRecord(key: key, value: value, offset: Int64(model.count)))
                if random.below(10) == 0 { #expect(log.flush(within: .seconds(60))) }
                if random.below(30) == 0 { followed += try reader.readAll() }
            }
            #expect(log.flush(within: .seconds(60)))
            log.close()
        }
        followed += try reader.readAll()
        #expect(followed == model)
        #expect(try FileTrafficLogReader(path: folder.path).readAll() == model)
    }
}

extension SeededGenerator {
    /// `bytes` of a copy.
    func copyBytes(_ count: Int) -> [UInt8] {
        var copy = self
        return copy.bytes(count)
    }
}
