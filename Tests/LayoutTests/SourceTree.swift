import Glibc

/// A source file of the package, as lines.
struct SourceFile: Sendable, CustomStringConvertible {
    /// Relative to the package's folder.
    let path: String
    let lines: [String]
    /// The lines with comments and the insides of one-line string literals blanked out.
    let code: [String]

    var description: String { path }

    /// `Sources/<module>/…` → module.
    var module: String { String(path.split(separator: "/").dropFirst().first ?? "") }

    func place(_ lineIndex: Int) -> String { "\(path):\(lineIndex + 1)" }
}

/// The package's files, found from where this file was compiled.
enum SourceTree {
    static let root: String = {
        let folders = #filePath.split(separator: "/").dropLast(3)
        return "/" + folders.joined(separator: "/")
    }()

    static let sources = swiftFiles(in: "Sources")
    static let all = sources + swiftFiles(in: "Tests") + swiftFiles(in: "Benchmarks")

    /// Every Markdown text that a reader finds: README, docs and the flows' documentation.
    static let documents: String = {
        let paths = ["README.md"] + files(in: "docs", ending: ".md") + files(in: "Sources", ending: ".md")
        return paths.map { text(of: $0) ?? "" }.joined(separator: "\n")
    }()

    static func swiftFiles(in folder: String) -> [SourceFile] {
        files(in: folder, ending: ".swift").map { path in
            let lines = (text(of: path) ?? "").split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            return SourceFile(path: path, lines: lines, code: CodeText.blanked(lines))
        }
    }

    /// Relative paths, sorted.
    static func files(in folder: String, ending: String) -> [String] {
        guard let stream = opendir("\(root)/\(folder)") else { return [] }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard !name.hasPrefix(".") else { continue }
            if name.hasSuffix(ending) {
                found.append("\(folder)/\(name)")
            } else if entry.pointee.d_type == UInt8(DT_DIR) {
                found += files(in: "\(folder)/\(name)", ending: ending)
            }
        }
        return found.sorted()
    }

    static func text(of path: String) -> String? {
        guard let file = fopen("\(root)/\(path)", "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var page = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = fread(&page, 1, page.count, file)
            guard count > 0 else { break }
            bytes += page[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What the compiler would see of a line, roughly: enough for the words these tests look for.
enum CodeText {
    static func blanked(_ lines: [String]) -> [String] {
        var isInLongString = false
        return lines.map { line in
            let isDelimiter = line.contains("\"\"\"")
            if isInLongString || isDelimiter {
                // A text over several lines: all of it is left out, with the lines that open and close it.
                if isDelimiter { isInLongString.toggle() }
                return ""
            }
            var result: [UInt8] = []
            var isInString = false
            let bytes = Array(line.utf8)
            var position = 0
            while position < bytes.count {
                let byte = bytes[position]
                if isInString {
                    if byte == UInt8(ascii: "\\") {
                        position += 1
                    } else if byte == UInt8(ascii: "\"") {
                        isInString = false
                        result.append(byte)
                    }
                } else if byte == UInt8(ascii: "\"") {
                    isInString = true
                    result.append(byte)
                } else if byte == UInt8(ascii: "/"), position + 1 < bytes.count, bytes[position + 1] == byte {
                    break
                } else {
                    result.append(byte)
                }
                position += 1
            }
            return String(decoding: result, as: UTF8.self)
        }
    }

    /// Whether `code` calls the free function `name`: not a member, not a part of a longer word, not a declaration.
    static func calls(_ name: String, in code: String) -> Bool {
        let bytes = Array(code.utf8)
        let pattern = Array("\(name)(".utf8)
        guard bytes.count >= pattern.count else { return false }
        for start in 0...(bytes.count - pattern.count) where bytes[start..<start + pattern.count].elementsEqual(pattern)
        {
            let before = String(decoding: bytes[..<start], as: UTF8.self)
            if before.hasSuffix("Glibc.") { return true }
            guard let last = before.utf8.last else { return true }
            let isPart =
                last == UInt8(ascii: ".") || last == UInt8(ascii: "_") || last > 0x7F
                || (0x30...0x39).contains(last) || (0x41...0x5A).contains(last) || (0x61...0x7A).contains(last)
            if !isPart, !before.hasSuffix("func ") { return true }
        }
        return false
    }
}
