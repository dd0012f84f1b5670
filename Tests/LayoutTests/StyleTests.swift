import Testing

/// What a script can check of the conventions on files, functions and comments.
@Suite struct StyleTests {
    /// Files that may be longer or wider than the rest: tables that are made by a tool or taken from a document.
    static let longFileExceptions: [String: String] = [:]
    static let longFunctionExceptions: [String: String] = [:]

    private func report(_ problems: [String]) -> Comment { "\(problems.joined(separator: "\n"))" }

    @Test func filesAreAtMost600Lines() {
        let wrong = SourceTree.all.filter { $0.lines.count > 601 && Self.longFileExceptions[$0.path] == nil }
            .map { "\($0.path) has \($0.lines.count) lines" }
        #expect(wrong.isEmpty, report(wrong))
    }

    @Test func linesAreAtMost120Columns() {
        var wrong: [String] = []
        for file in SourceTree.sources {
            let long = file.lines.indices.filter { file.lines[$0].count > 120 }
            wrong += long.map(file.place)
        }
        #expect(wrong.isEmpty, report(wrong))
    }

    /// A function ends at the closing brace in the column where it began, which `swift format` sees to.
    @Test func functionsAreAtMost90Lines() {
        var wrong: [String] = []
        for file in SourceTree.sources {
            for (index, line) in file.code.enumerated() {
                let words = line.split(separator: " ").map(String.init)
                let isFunction =
                    words.contains("func") || words.contains { $0.hasPrefix("init(") || $0.hasPrefix("init?(") }
                guard isFunction, words.first != "case" else { continue }
                let indentation = line.prefix { $0 == " " }.count
                let end = file.lines[index...].firstIndex { text in
                    text.prefix { $0 == " " }.count == indentation && text.dropFirst(indentation).hasPrefix("}")
                }
                guard let end, file.lines[index].hasSuffix("}") == false else { continue }
                if end - index + 1 > 90, Self.longFunctionExceptions[file.place(index)] == nil {
                    wrong.append("\(file.place(index)) has \(end - index + 1) lines")
                }
            }
        }
        #expect(wrong.isEmpty, report(wrong))
    }

    @Test func nothingIsForcedOrLeftUndone() {
        let comments = ["TO" + "DO", "FIX" + "ME"]
        var wrong: [String] = []
        for file in SourceTree.sources {
            for (index, line) in file.code.enumerated() where line.contains("try!") || line.contains("as!") {
                wrong.append("\(file.place(index)) forces")
            }
            for (index, line) in file.lines.enumerated() where comments.contains(where: line.contains) {
                wrong.append("\(file.place(index)) is left undone")
            }
        }
        #expect(wrong.isEmpty, report(wrong))
    }

    @Test func uncheckedSendableSaysWhyItIsSound() {
        var wrong: [String] = []
        for file in SourceTree.sources {
            for (index, line) in file.code.enumerated() where line.contains("@unchecked Sendable") {
                let above = file.lines[max(0, index - 8)...index]
                if !above.contains(where: { $0.contains("// Sound:") }) { wrong.append(file.place(index)) }
            }
        }
        #expect(wrong.isEmpty, report(wrong))
    }

    @Test func foundationIsNotImported() {
        var wrong: [String] = []
        for file in SourceTree.sources {
            for (line, module) in LayerTests.imports(file) where module.hasPrefix("Foundation") {
                wrong.append(file.place(line))
            }
        }
        #expect(wrong.isEmpty, report(wrong))
    }
}

/// Every setting and every metric stands in a document.
@Suite struct DocumentationTests {
    /// Texts after any of `calls`, up to the closing quotation mark, with the line breaks between taken out.
    private func literals(after calls: [String]) -> [(path: String, text: String)] {
        var found: [(String, String)] = []
        for file in SourceTree.sources {
            // The call may break its line before the name.
            let joined = file.lines.map { $0.drop { $0 == " " } }.joined()
            for call in calls {
                var rest = joined[...]
                while let start = rest.firstRange(of: call) {
                    rest = rest[start.upperBound...]
                    let text = String(rest.prefix { $0 != "\"" })
                    if !text.contains("\\(") { found.append((file.path, text)) }
                }
            }
        }
        return found
    }

    @Test func everyMetricIsDocumented() {
        let metrics = literals(after: [".counter(\"", ".gauge(\"", ".histogram(\""])
        #expect(metrics.count >= 4, "the metrics were not found")
        let missing = metrics.filter { !SourceTree.documents.contains("`\($0.text)`") }.map { "\($0.path): \($0.text)" }
        #expect(missing.isEmpty, "\(missing.joined(separator: "\n"))")
    }

    @Test func everyFlagIsDocumented() {
        let flags = literals(after: ["FlagDeclaration(\""])
        #expect(flags.count >= 20, "the flags were not found")
        for flag in flags {
            let variable = "MILLRACE_" + String(flag.text.dropFirst(2).map { $0 == "-" ? "_" : $0 }).uppercased()
            #expect(SourceTree.documents.contains("`\(variable)`"), "\(flag.path): \(flag.text)")
        }
    }
}
