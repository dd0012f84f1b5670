import CISAL
import CZstd
import Glibc
import Synchronization
import TestSupport

@testable import Replay

/// A lock to wait at.
// Sound: pthread's own guarantees; the lock is recursive, and the memory lives as long as the object.
final class TestCondition: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_RECURSIVE))
        pthread_mutex_init(mutex, &attributes)
        pthread_cond_init(condition, nil)
    }

    deinit {
        mutex.deallocate()
        condition.deallocate()
    }

    func read<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func change(_ body: () -> Void) {
        read(body)
        pthread_cond_broadcast(condition)
    }

    /// Returns when `isReached` holds after a change.
    func wait(_ isReached: () -> Bool) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isReached() { pthread_cond_wait(condition, mutex) }
    }
}

/// The system with faults: by a seed, or a disk that is full.
// Sound: the generator is used by the writer's thread alone, after `init`.
final class FaultySystem: TupleFileSystem, @unchecked Sendable {
    private let real = RealTupleFileSystem()
    private var random: SeededGenerator?
    private let full = Atomic<Bool>(false)
    private let faults = Atomic<Int>(0)

    init(seed: UInt64?) { random = seed.map { SeededGenerator(seed: $0) } }

    var faultCount: Int { faults.load(ordering: .relaxed) }
    var isFull: Bool {
        get { full.load(ordering: .relaxed) }
        set { full.store(newValue, ordering: .relaxed) }
    }

    private func mayFail(_ what: String) throws(TupleFileError) {
        guard isFull || random?.below(6) == 0 else { return }
        faults.add(1, ordering: .relaxed)
        throw TupleFileError(code: isFull ? ENOSPC : EIO, what: what)
    }

    func create(_ path: String) throws(TupleFileError) -> Int32 {
        try mayFail("create")
        return try real.create(path)
    }

    /// A failing write leaves a part of the bytes.
    func write(_ bytes: [UInt8], to file: Int32, at offset: Int64) throws(TupleFileError) {
        do throws(TupleFileError) { try mayFail("write") } catch {
            try real.write(Array(bytes.prefix(bytes.count / 2)), to: file, at: offset)
            throw error
        }
        try real.write(bytes, to: file, at: offset)
    }

    func truncate(_ file: Int32, to length: Int64) throws(TupleFileError) {
        try mayFail("truncate")
        try real.truncate(file, to: length)
    }

    func sync(_ file: Int32) throws(TupleFileError) {
        try mayFail("sync")
        try real.sync(file)
    }

    func rename(_ path: String, to other: String) throws(TupleFileError) {
        try mayFail("rename")
        try real.rename(path, to: other)
    }

    func syncFolder(_ path: String) throws(TupleFileError) {
        try mayFail("syncFolder")
        try real.syncFolder(path)
    }
}

enum TestFiles {
    static func names(_ folder: String) throws -> [String] {
        guard let stream = opendir(folder) else { throw TupleFileError(code: errno, what: folder) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    /// What a file holds; an error when anything in it is damaged or cut off.
    static func unpacked(_ path: String, _ compression: TupleCompression) throws -> [UInt8] {
        let bytes = try FileTree.read(path)
        let failure = TupleFileError(code: EIO, what: "\(path) is damaged")
        var text = [UInt8](repeating: 0, count: 1 << 20)
        var count = 0
        switch compression {
        case .none: return bytes
        case .gzip:
            guard let stream = millrace_gunzip_stream_new() else { throw failure }
            defer { millrace_gunzip_stream_free(stream) }
            var consumed = 0
            let code = millrace_gunzip_stream_next(stream, bytes, bytes.count, &consumed, &text, text.count, &count)
            guard code == 0, consumed == bytes.count, millrace_gunzip_stream_may_end(stream) != 0 else { throw failure }
        case .zstd:
            count = ZSTD_decompress(&text, text.count, bytes, bytes.count)
            guard ZSTD_isError(count) == 0 else { throw failure }
        }
        return Array(text[..<count])
    }
}
