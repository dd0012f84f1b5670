import Testing

/// Imports point down: programs → flows → edges → formats → ground.
@Suite struct LayerTests {
    enum Layer: Int, Comparable, CaseIterable {
        case ground, formats, edges, flows, programs

        static func < (left: Layer, right: Layer) -> Bool { left.rawValue < right.rawValue }
    }

    static let layers: [String: Layer] = [
        "millraced": .programs, "millrace": .programs,
        "Capture": .flows, "Replay": .flows, "Backfill": .flows, "Metadata": .flows, "Validation": .flows,
        "SnapshotCreation": .flows,
        "ControlPlane": .flows,
        "TrafficLog": .edges, "ClusterClient": .edges, "BlobStore": .edges, "SnapshotRepository": .edges,
        "KubernetesAPI": .edges,
        "CapturedTraffic": .formats, "HTTPMessage": .formats, "SnapshotFormat": .formats, "LuceneFormat": .formats,
        "BulkFormat": .formats, "JSONBytes": .formats, "Transform": .formats, "TupleFormat": .formats,
        "EventIO": .ground, "Telemetry": .ground, "Settings": .ground,
        "CSystem": .ground, "COpenSSL": .ground, "CLZ4": .ground, "CZstd": .ground, "CISAL": .ground,
        "CSQLite": .ground, "CRdKafka": .ground,
    ]

    /// Modules of the toolchain.
    static let toolchain: Set<String> = ["Glibc", "Dispatch", "Synchronization"]

    /// Imports within a layer. Elsewhere than here, a module knows only those below it. C shims are open to all.
    static let besides: [String: Set<String>] = [
        // Rests on the reading side of BlobStore, which knows nothing of snapshots.
        "SnapshotRepository": ["BlobStore"],
        // JSON is what these formats are written in.
        "SnapshotFormat": ["JSONBytes"], "BulkFormat": ["JSONBytes"],
        // Responses end by their own framing, and exchanges are printed as JSON.
        "CapturedTraffic": ["HTTPMessage", "JSONBytes"],
        // Rewrites requests as they were captured, bulks among them.
        "Transform": ["CapturedTraffic", "HTTPMessage", "BulkFormat", "JSONBytes"],
        // A tuple is HTTP messages written as JSON.
        "TupleFormat": ["HTTPMessage", "JSONBytes"],
    ]

    static func imports(_ file: SourceFile) -> [(line: Int, module: String)] {
        file.code.enumerated().compactMap { index, line in
            let words = line.split(separator: " ").filter { !$0.hasPrefix("@") }
            guard let place = words.firstIndex(of: "import"), place <= 1, words.count > place + 1 else { return nil }
            // `import struct Module.Name` names the module last.
            return (index, String(words[words.count - 1].split(separator: ".")[0]))
        }
    }

    @Test func everyModuleHasALayer() {
        #expect(SourceTree.sources.count > 20, "the sources were not found in \(SourceTree.root)")
        let unknown = Set(SourceTree.sources.map(\.module)).filter { Self.layers[$0] == nil }
        #expect(unknown.isEmpty)
    }

    @Test func importsPointDown() {
        var wrong: [String] = []
        for file in SourceTree.sources {
            guard let layer = Self.layers[file.module] else { continue }
            for (line, module) in Self.imports(file) where !Self.toolchain.contains(module) {
                let isShim = module.hasPrefix("C") && Self.layers[module] == .ground
                guard let other = Self.layers[module] else {
                    wrong.append("\(file.place(line)) imports \(module), which no table knows")
                    continue
                }
                let isBeside = Self.besides[file.module]?.contains(module) == true
                if !isShim, !isBeside, other >= layer {
                    wrong.append("\(file.place(line)): \(file.module) (\(layer)) imports \(module) (\(other))")
                }
            }
        }
        #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
    }

    @Test func formatsDoNotKnowTheGroundThatDoesIO() {
        let forbidden: Set<String> = ["EventIO", "Telemetry", "Settings", "Dispatch", "COpenSSL", "CSQLite"]
        var wrong: [String] = []
        for file in SourceTree.sources where Self.layers[file.module] == .formats {
            for (line, module) in Self.imports(file) where forbidden.contains(module) {
                wrong.append("\(file.place(line)) imports \(module)")
            }
        }
        #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
    }

    /// Free functions that a layer or module may not call, and who may all the same.
    @Test func bannedCallsDoNotOccur() {
        let sockets = ["socket", "connect", "bind", "listen", "accept", "getaddrinfo", "epoll_create1"]
        let files = ["open", "openat", "fopen", "read", "pread", "opendir", "unlink", "mkdir", "fsync"]
        let clocks = ["clock_gettime", "time", "gettimeofday", "nanosleep"]
        let declared = Self.declaredFunctions(of: Set(sockets + files + clocks))
        var wrong: [String] = []
        for file in SourceTree.sources {
            guard let layer = Self.layers[file.module] else { continue }
            var banned = ["usleep", "sleep", "rand", "srand", "random"]
            if layer != .programs { banned += ["print", "debugPrint", "dump", "exit"] }
            if layer == .formats { banned += sockets + files + clocks }
            if layer == .edges || layer == .flows { banned += sockets }
            for (index, line) in file.code.enumerated() {
                guard line.utf8.contains(UInt8(ascii: "(")) else { continue }
                for name in banned where line.contains("\(name)(") && CodeText.calls(name, in: line) {
                    // A module's own function of that name hides the system's, unless that is named in full.
                    let isOwn = declared[file.module]?.contains(name) == true
                    if isOwn, !line.contains("Glibc.\(name)(") { continue }
                    wrong.append("\(file.place(index)) calls \(name)()")
                }
            }
        }
        wrong.removeAll { problem in Self.callExceptions.contains { problem.hasPrefix($0.file) } }
        #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
    }

    /// Which of `names` each module declares functions with.
    private static func declaredFunctions(of names: Set<String>) -> [String: Set<String>] {
        var declared: [String: Set<String>] = [:]
        for file in SourceTree.sources {
            for line in file.code {
                for name in names where line.contains("func \(name)(") {
                    declared[file.module, default: []].insert(name)
                }
            }
        }
        return declared
    }

    /// Files with a call that the table bans by its name, and why it is right there.
    static let callExceptions: [(file: String, reason: String)] = []
}
