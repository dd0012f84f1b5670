import CISAL
import CLZ4
import CSystem
import CZstd
import Glibc
import TestSupport

/// `machine`: what this machine does with the bare steps of the path, so that a result can be read beside them. Each
/// rate is of uncompressed bytes a second of the process's processor time.
func runMachineBenchmark(arguments: [String]) throws {
    let options = try BenchmarkArguments(arguments, switches: ["json"])
    let totalBytes = Int(try options.bytes("bytes", default: 400_000_000))
    let corpus = logCorpus(bytes: 4 << 20)
    let rows: [(name: String, bytesPerSecond: Double)] = [
        ("memcpy", memcpyRate(corpus, totalBytes * 4)),
        ("crc32", crcRate(corpus, totalBytes * 4)),
        ("lz4_decode", lz4Rate(corpus, totalBytes)),
        ("inflate", inflateRate(corpus, totalBytes)),
        ("zstd_decode", zstdRate(corpus, totalBytes)),
        ("loopback_send", try loopbackRate(corpus, totalBytes)),
    ]
    if options.has("json") {
        let members = rows.map { "\"\($0.name)_gb_s\":\(twoDecimals($0.bytesPerSecond / 1e9))" }
        print("{\(members.joined(separator: ","))}")
    } else {
        for row in rows { print("\(row.name)  \(twoDecimals(row.bytesPerSecond / 1e9)) GB per CPU-second") }
    }
}

private func logCorpus(bytes: Int) -> [UInt8] {
    var documents = ServerLogDocuments(seed: 1)
    var corpus: [UInt8] = []
    while corpus.count < bytes {
        documents.next()
        corpus += documents.source
    }
    return Array(corpus[0..<bytes])
}

/// Repeats `step`, which handles the whole corpus, until `total` bytes are done; bytes a CPU-second.
private func rate(_ corpus: [UInt8], _ total: Int, _ step: () -> Void) -> Double {
    step()
    let rounds = max(1, total / corpus.count)
    let time = WorkTime.measure { for _ in 0..<rounds { step() } }
    return Double(rounds * corpus.count) / max(1e-9, time.cpuSeconds)
}

/// The sizes in which stored fields come: a chunk of 80 KiB.
private let chunkBytes = 80 << 10

private func memcpyRate(_ corpus: [UInt8], _ total: Int) -> Double {
    var copy = [UInt8](repeating: 0, count: corpus.count)
    return rate(corpus, total) {
        corpus.withUnsafeBytes { from in copy.withUnsafeMutableBytes { $0.copyMemory(from: from) } }
    }
}

private func crcRate(_ corpus: [UInt8], _ total: Int) -> Double {
    var sum: UInt32 = 0
    let result = rate(corpus, total) { sum = millrace_crc32(sum, corpus, corpus.count) }
    precondition(sum != 1)
    return result
}

private struct Piece {
    let compressed: [UInt8]
    let count: Int
}

private func pieces(_ corpus: [UInt8], _ compress: (ArraySlice<UInt8>) -> [UInt8]) -> [Piece] {
    stride(from: 0, to: corpus.count, by: chunkBytes).map { start in
        let slice = corpus[start..<min(start + chunkBytes, corpus.count)]
        return Piece(compressed: compress(slice), count: slice.count)
    }
}

private func lz4Rate(_ corpus: [UInt8], _ total: Int) -> Double {
    let compressed = pieces(corpus) { slice in
        var output = [UInt8](repeating: 0, count: Int(LZ4_compressBound(Int32(slice.count))))
        let count = slice.withUnsafeBytes { from in
            output.withUnsafeMutableBytes {
                LZ4_compress_default(
                    from.bindMemory(to: CChar.self).baseAddress, $0.bindMemory(to: CChar.self).baseAddress,
                    Int32(from.count), Int32($0.count))
            }
        }
        return Array(output[0..<Int(count)])
    }
    var output = [UInt8](repeating: 0, count: chunkBytes)
    return rate(corpus, total) {
        for piece in compressed {
            let count = piece.compressed.withUnsafeBytes { from in
                output.withUnsafeMutableBytes {
                    LZ4_decompress_safe(
                        from.bindMemory(to: CChar.self).baseAddress, $0.bindMemory(to: CChar.self).baseAddress,
                        Int32(from.count), Int32($0.count))
                }
            }
            precondition(Int(count) == piece.count)
        }
    }
}

private func inflateRate(_ corpus: [UInt8], _ total: Int) -> Double {
    let compressed = pieces(corpus) { SmileBlobWriter.deflate(Array($0)) }
    let state = millrace_inflate_new()
    defer { millrace_inflate_free(state) }
    var output = [UInt8](repeating: 0, count: chunkBytes)
    return rate(corpus, total) {
        for piece in compressed {
            var written = 0
            let code = millrace_inflate_raw(
                state, piece.compressed, piece.compressed.count, &output, output.count, nil, 0, &written)
            precondition(code == 0 && written == piece.count)
        }
    }
}

private func zstdRate(_ corpus: [UInt8], _ total: Int) -> Double {
    let compressed = pieces(corpus) { slice in
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(slice.count))
        let count = slice.withUnsafeBytes { ZSTD_compress(&output, output.count, $0.baseAddress, $0.count, 3) }
        return Array(output[0..<count])
    }
    let context = ZSTD_createDCtx()
    defer { ZSTD_freeDCtx(context) }
    var output = [UInt8](repeating: 0, count: chunkBytes)
    return rate(corpus, total) {
        for piece in compressed {
            let count = ZSTD_decompressDCtx(
                context, &output, output.count, piece.compressed, piece.compressed.count)
            precondition(count == piece.count)
        }
    }
}

/// Sends to a child process that only receives, so that this process's time is the sender's alone.
private func loopbackRate(_ corpus: [UInt8], _ total: Int) throws -> Double {
    let sink = try LoopbackDrain.start()
    defer { sink.finish() }
    return rate(corpus, total) {
        corpus.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count, let base = bytes.baseAddress {
                let piece = min(1 << 20, bytes.count - offset)
                let count = send(sink.descriptor, base + offset, piece, Int32(MSG_NOSIGNAL))
                if count <= 0 { preconditionFailure("the receiver went away") }
                offset += count
            }
        }
    }
}

/// A second process of this program at the other end of a loopback connection.
private struct LoopbackDrain {
    let descriptor: Int32
    let child: pid_t

    static func start() throws -> LoopbackDrain {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &size) == 0
            }
        }
        guard isListening else { throw FileFailure("listen on loopback", errno) }
        defer { close(listener) }
        let port = UInt16(bigEndian: address.sin_port)
        var child = pid_t()
        let words = [CommandLine.arguments[0], "drain", "--port", String(port)]
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for word in argv { free(word) } }
        let code = posix_spawn(&child, "/proc/self/exe", nil, nil, &argv, environ)
        guard code == 0 else { throw FileFailure("start the receiver", code) }
        let descriptor = accept(listener, nil, nil)
        guard descriptor >= 0 else { throw FileFailure("accept", errno) }
        return LoopbackDrain(descriptor: descriptor, child: child)
    }

    func finish() {
        close(descriptor)
        var status: Int32 = 0
        waitpid(child, &status, 0)
    }
}

/// `drain`: connects to a loopback port and reads until the end; the receiving half of `machine`.
func runDrain(arguments: [String]) throws {
    let port = UInt16(truncatingIfNeeded: try BenchmarkArguments(arguments).int("port", default: 0))
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    address.sin_port = port.bigEndian
    let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard connected == 0 else { throw FileFailure("connect to 127.0.0.1:\(port)", errno) }
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while read(descriptor, &buffer, buffer.count) > 0 {}
}
