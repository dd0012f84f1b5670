import Glibc

#if FUZZING
    private typealias FuzzCallback = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

    /// libFuzzer's entry for programs that have their own main (its manual: "Using libFuzzer as a library").
    @_silgen_name("LLVMFuzzerRunDriver")
    private func runDriver(
        _ argumentCount: UnsafeMutablePointer<Int32>,
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>, _ callback: FuzzCallback
    ) -> Int32

    /// Some builds of libFuzzer hold its main beside the driver, and that names this function.
    @_cdecl("LLVMFuzzerTestOneInput")
    func fuzzOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        FuzzRun.target(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
    }
#endif

/// Runs a target under libFuzzer or over files.
enum FuzzRun {
    /// A C callback captures nothing. Set once, before the driver starts.
    nonisolated(unsafe) fileprivate static var target: @Sendable (UnsafeRawBufferPointer) -> Void = { _ in }

    static func stop(_ message: String) -> Never {
        let line = Array("millrace-fuzz: \(message)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(64)
    }

    #if FUZZING
        static func drive(_ target: @escaping @Sendable (UnsafeRawBufferPointer) -> Void, arguments: [String]) -> Never
        {
            self.target = target
            // libFuzzer keeps the array until the process ends.
            let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
            for (index, argument) in arguments.enumerated() { list[index] = strdup(argument) }
            list[arguments.count] = nil
            var count = Int32(arguments.count)
            var start: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = list
            exit(
                runDriver(&count, &start) { bytes, count in fuzzOneInput(bytes, count) })
        }
    #endif

    static func replay(_ target: @Sendable (UnsafeRawBufferPointer) -> Void, files: some Collection<String>) {
        for path in files {
            guard let bytes = contents(of: path) else { stop("\(path) cannot be read") }
            print(path)
            bytes.withUnsafeBytes(target)
        }
    }

    static func contents(of path: String) -> [UInt8]? {
        guard let file = fopen(path, "rb") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = fread(&block, 1, block.count, file)
            if count == 0 { return ferror(file) == 0 ? bytes : nil }
            bytes += block[..<count]
        }
    }
}
