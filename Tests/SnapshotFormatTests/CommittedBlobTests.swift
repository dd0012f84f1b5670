import JSONBytes
import SnapshotFormat
import TestSupport
import Testing

@Suite("Real blobs")
struct CommittedBlobTests {
    @Test("All parse", arguments: CommittedBlobs.all)
    func parse(_ blob: CommittedBlobs.Blob) { #expect(throws: Never.self) { try blob.parse(blob.bytes) } }

    @Test("There are blobs of every kind and every body form")
    func coverage() {
        #expect(CommittedBlobs.all.count > 80)
        for kind in [CommittedBlobs.Blob.Kind.index, .snapshot, .global, .indexMetadata, .shard] {
            #expect(CommittedBlobs.all.contains { $0.kind == kind })
        }
        let forms = Set(CommittedBlobs.framed.map { Array($0.bytes[(9 + Int($0.bytes[4]))...].prefix(3)) })
        #expect(forms == [Array("DFL".utf8), Array("ZST".utf8), Array(":)\n".utf8)])
    }

    @Test("A flipped bit anywhere is an error", arguments: CommittedBlobs.framed)
    func bitFlips(_ blob: CommittedBlobs.Blob) {
        var random = SeededGenerator(seed: UInt64(blob.bytes.count))
        var acceptedCount = 0
        for offset in Self.places(blob) {
            var damaged = blob.bytes
            damaged[offset] ^= 1 << UInt8(random.below(8))
            if (try? blob.parse(damaged)) != nil { acceptedCount += 1 }
        }
        #expect(acceptedCount == 0)
    }

    @Test("Cut anywhere it is an error", arguments: CommittedBlobs.all)
    func truncation(_ blob: CommittedBlobs.Blob) {
        var acceptedCount = 0
        for count in Self.places(blob) {
            if (try? blob.parse(Array(blob.bytes[..<count]))) != nil { acceptedCount += 1 }
        }
        #expect(acceptedCount == 0)
    }

    /// Every byte of small blobs, about 400 of larger ones with both ends among them.
    private static func places(_ blob: CommittedBlobs.Blob) -> [Int] {
        let count = blob.bytes.count
        if count <= 800 { return Array(0..<count) }
        return Array(0..<60) + Array(stride(from: 60, to: count - 60, by: count / 300)) + Array(count - 60..<count)
    }

    @Test("Damage behind a right checksum never traps", arguments: CommittedBlobs.framed)
    func sealedDamage(_ blob: CommittedBlobs.Blob) {
        var random = SeededGenerator(seed: UInt64(blob.bytes.count) &+ 77)
        var failureCount = 0
        for _ in 0..<40 {
            var damaged = Array(blob.bytes.dropLast(8))
            let bodyCount = damaged.count - 21 - 8
            for _ in 0...random.below(4) {
                damaged[21 + random.below(bodyCount)] = UInt8(truncatingIfNeeded: random.next())
            }
            if (try? blob.parse(sealed(damaged))) == nil { failureCount += 1 }
        }
        #expect(failureCount > 0)
    }

    @Test("Damaged plain bodies never trap", arguments: CommittedBlobs.framed)
    func bodyDamage(_ blob: CommittedBlobs.Blob) throws {
        let codec = String(decoding: blob.bytes[5..<5 + Int(blob.bytes[4])], as: UTF8.self)
        let value = try MetadataBlob.decode(blob.bytes, codec: codec, object: blob.name)
        var encoder = SmileEncoder(sharesStrings: false)
        let body = encoder.encode(value)
        #expect(throws: Never.self) { try blob.parse(framed(body, codec: codec)) }
        var random = SeededGenerator(seed: UInt64(body.count))
        var failureCount = 0
        for _ in 0..<20 {
            var damaged = body
            for _ in 0...random.below(3) {
                damaged[random.below(body.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            if (try? blob.parse(framed(damaged, codec: codec))) == nil { failureCount += 1 }
        }
        #expect(failureCount > 0)
    }
}

@Suite("CodecFrame and MetadataBody")
struct FrameTests {
    private func failure(_ bytes: [UInt8], codec: String = "snapshot") -> SnapshotFormatError? {
        do throws(SnapshotFormatError) {
            _ = try MetadataBlob.decode(bytes, codec: codec, object: "blob")
            return nil
        } catch { return error }
    }

    @Test("Bodies of every form")
    func forms() throws {
        let smile: [UInt8] = [0x3A, 0x29, 0x0A, 0, 0xFA, 0xFB]
        // A stored DEFLATE block: final, length and its complement.
        let deflated: [UInt8] = [0x44, 0x46, 0x4C, 0, 1, 6, 0, 0xF9, 0xFF] + smile
        // A zstd frame with a single raw block: magic, single segment with a one-byte content size, block header.
        let zstd: [UInt8] = [0x5A, 0x53, 0x54, 0x44, 0, 0x28, 0xB5, 0x2F, 0xFD, 0x20, 6, 0x31, 0, 0] + smile
        for body in [smile, deflated, zstd, Array("{}".utf8), Array(" \n{}".utf8)] {
            #expect(try MetadataBlob.decode(framed(body), codec: "snapshot", object: "blob") == .object([]))
        }
        for cut in 1..<6 {
            #expect(failure(framed(Array(deflated.dropLast(cut))))?.message.contains("deflate") == true)
            #expect(failure(framed(Array(zstd.dropLast(cut))))?.message.contains("zstd") == true)
        }
    }

    @Test("LZF is refused as what it is, framed or not")
    func lzf() {
        for bytes in [
            [0x5A, 0x56, 1, 0, 5, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13] as [UInt8],
            [0x4C, 0x5A, 0x46, 0, 1, 2],
        ] {
            #expect(failure(bytes)?.code == .unsupported)
            #expect(failure(framed(bytes))?.code == .unsupported)
            #expect(failure(framed(bytes))?.message.contains("LZF") == true)
        }
    }

    @Test("Header and footer are checked")
    func frames() {
        let good = framed(Array("{}".utf8))
        #expect(failure(good) == nil)
        #expect(failure(good, codec: "metadata")?.message.contains("'snapshot' where 'metadata'") == true)
        #expect(failure(framed(Array("{}".utf8), version: 2))?.code == .unsupported)
        #expect(failure(framed(Array("{}".utf8), version: 2))?.offset == 13)
        #expect(failure([])?.offset == 0)
        #expect(failure([1, 2, 3, 4])?.offset == 0)
        #expect(failure([0x3F, 0xD7, 0x6C, 0x17])?.offset == 4)
        var damaged = good
        damaged[18] ^= 1
        #expect(failure(damaged)?.message.contains("checksum") == true)
        #expect(failure(damaged)?.offset == good.count - 8)
        #expect(failure(sealed([0x3F, 0xD7, 0x6C, 0x17, 0x7F, 0xC0, 0x28, 0x93, 0xE8, 0, 0, 0, 0])) != nil)
        #expect(failure(framed([]))?.message.contains("none of") == true)
        #expect(failure(framed(Array("[]".utf8))) != nil)
    }

    @Test("Bodies are limited")
    func limits() throws {
        // One stored DEFLATE block.
        let plain = [UInt8](repeating: 0x20, count: 60_000) + Array("{}".utf8)
        let stored: [UInt8] = [
            1, UInt8(plain.count & 0xFF), UInt8(plain.count >> 8), UInt8(~plain.count & 0xFF),
            UInt8(~plain.count >> 8 & 0xFF),
        ]
        let body = Array("DFL\0".utf8) + stored + plain
        let decoded = body.withUnsafeBytes { try? MetadataBody.decode($0, object: "blob", limitBytes: plain.count) }
        #expect(decoded == .object([]))
        let error = #expect(throws: SnapshotFormatError.self) {
            try body.withUnsafeBytes { raw in
                _ = try MetadataBody.decode(raw, object: "blob", limitBytes: plain.count - 1)
            }
        }
        #expect(error?.message.contains("more than") == true)
    }

    @Test("Errors are one line with object and position")
    func descriptions() {
        let error = failure(framed(Array("{\"a\":tru}".utf8)))
        #expect(error?.description == "blob at byte 22: JSON: true expected")
    }
}
