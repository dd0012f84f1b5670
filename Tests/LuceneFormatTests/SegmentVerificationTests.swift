import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import LuceneFormat

@Suite struct SegmentVerificationTests {
    private struct Files: LuceneDirectory {
        struct Unreadable: Error {}

        let location = "index/0"
        var contents: [String: [UInt8]] = [:]
        /// Where a read fails.
        var unreadable: Int64?

        var fileNames: [String] { contents.keys.sorted() }
        func length(of file: String) -> Int64? { contents[file].map { Int64($0.count) } }
        func read(_ file: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws {
            if let unreadable, offset <= unreadable, unreadable < offset + Int64(buffer.count) { throw Unreadable() }
            let bytes = contents[file] ?? []
            buffer.copyBytes(from: bytes[Int(offset)..<(Int(offset) + buffer.count)])
        }

        var files: [LuceneFile] {
            fileNames.map { LuceneFile(name: $0, physicalName: $0, offset: 0, length: Int64(contents[$0]?.count ?? 0)) }
        }
    }

    private static let pieceBytes: Int64 = 1000

    private func files() -> Files {
        var random = SeededGenerator(seed: 5)
        var files = Files()
        for (name, count) in [("_0.fdt", 10_240), ("_0.dvd", 3), ("_1.dvd", 992), ("_2.dvd", 993)] {
            files.contents[name] = CodecFooter.appended(
                to: (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
        return files
    }

    @Test func joinedChecksumsAreThoseOfAllBytes() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<500 {
            let bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            let cut = Int.random(in: 0...bytes.count, using: &random)
            let joined = CodecFooter.checksum(
                ofFirst: CodecFooter.checksum(of: bytes[..<cut]), second: CodecFooter.checksum(of: bytes[cut...]),
                secondByteCount: Int64(bytes.count - cut))
            #expect(joined == CodecFooter.checksum(of: bytes[...]))
        }
        // CRC-32 of "123456789", the check value of the catalogue of CRCs.
        let digits = Array("123456789".utf8)
        let joined = CodecFooter.checksum(
            ofFirst: CodecFooter.checksum(of: digits[..<4]), second: CodecFooter.checksum(of: digits[4...]),
            secondByteCount: 5)
        #expect(joined == 0xCBF4_3926)
    }

    @Test func oneThreadIsToldThatAllIsRight() throws {
        let files = files()
        for pieceBytes: Int64 in [1, 7, 1000, 1 << 20] {
            let verification = SegmentVerification(files, files.files, pieceBytes: pieceBytes)
            #expect(verification.hasPiecesLeft)
            #expect(try verification.work(isCancelled: { false }))
            #expect(!verification.hasPiecesLeft)
            #expect(try !verification.work(isCancelled: { false }), "there is nothing left")
        }
    }

    @Test func ofSeveralThreadsOneIsToldThatAllIsRight() {
        let files = files()
        for _ in 0..<50 {
            let verification = SegmentVerification(files, files.files, pieceBytes: 100)
            let told = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                if (try? verification.work(isCancelled: { false })) == true { told.add(1, ordering: .relaxed) }
            }
            #expect(told.load(ordering: .relaxed) == 1)
        }
    }

    @Test func everyDamagedByteIsFound() throws {
        let sound = files()
        for (name, bytes) in sound.contents {
            for index in Array(stride(from: 0, to: bytes.count, by: 97)) + [bytes.count - 1, bytes.count - 9] {
                var files = sound
                files.contents[name]?[index] ^= 0x10
                let verification = SegmentVerification(files, files.files, pieceBytes: Self.pieceBytes)
                let error = #expect(throws: LuceneError.self) { try verification.work(isCancelled: { false }) }
                #expect(error?.code == .corrupt)
                #expect(error?.file == name)
            }
        }
    }

    @Test func nobodyIsToldSoWhenAReadFailsOrTheRunEnds() {
        var files = files()
        files.unreadable = 4321
        let verification = SegmentVerification(files, files.files, pieceBytes: Self.pieceBytes)
        var failures = 0
        while verification.hasPiecesLeft {
            do {
                #expect(try !verification.work(isCancelled: { false }))
            } catch {
                #expect(error.code == .readFailed)
                failures += 1
            }
        }
        #expect(failures == 1)
        let cancelled = SegmentVerification(files, files.files, pieceBytes: Self.pieceBytes)
        #expect(throws: LuceneError.self) { try cancelled.work(isCancelled: { true }) }
    }
}
