/// A role's usage text and its reference page, both made from its table of flags.
struct UsagePage {
    var program = "millraced"
    /// The role's name on the command line.
    let role: String
    /// What the role does, and its shortest command line; lines of at most 100 columns.
    let introduction: String
    let flags: [FlagDeclaration]
    /// The file that declares the flags, and the filter of the test that renews the page.
    let origin: (file: String, test: String)
    let exitStatus: [(status: ExitStatus, meaning: String)]

    /// For a terminal: 100 columns.
    var text: String {
        var text = introduction
        for (group, flags) in groups {
            text += "\n\(group)\n"
            for flag in flags { text += Self.entry(flag) }
        }
        text += "\nSizes: 65536, 10MB, 256MiB. Times: 250ms, 30s, 5m, 2h.\n\nExit status\n"
        for (status, meaning) in exitStatus {
            text += Self.wrapped(meaning, label: "  \(status.rawValue)", indentation: 8)
        }
        return text
    }

    /// `Flags.md` of the flow's documentation.
    var markdown: String {
        var text = """
            # Flags of `\(program) \(role)`

            Generated from `Sources/Settings/\(origin.file)`; a test compares, and renews this file when
            `MILLRACE_RENEW_GOLDEN=1` is set: `swift test --filter \(origin.test)`.

            Each flag may be given as an environment variable; the flag goes first. Sizes: `65536`, `10MB`, `256MiB`.
            Times: `250ms`, `30s`, `5m`, `2h`.

            """
        for (group, flags) in groups {
            text += "\n## \(group)\n\n| flag | environment | default | meaning |\n|---|---|---|---|\n"
            for flag in flags {
                let value = flag.valueName.map { " \($0)" } ?? ""
                let shown = flag.isSecret ? "–" : "`\(flag.name)\(value)`".replacingBars
                let preset = flag.defaultText.map { "`\($0)`" } ?? ""
                text += "| \(shown) | `\(flag.environmentName)` | \(preset) | \(flag.help.replacingBars) |\n"
            }
        }
        text += "\n## Exit status\n\n| status | meaning |\n|---|---|\n"
        for (status, meaning) in exitStatus { text += "| \(status.rawValue) | \(meaning) |\n" }
        return text
    }

    /// In the order of declaration.
    private var groups: [(name: String, flags: [FlagDeclaration])] {
        var groups: [(name: String, flags: [FlagDeclaration])] = []
        for flag in flags {
            if groups.last?.name == flag.group {
                groups[groups.count - 1].flags.append(flag)
            } else {
                groups.append((flag.group, [flag]))
            }
        }
        return groups
    }

    private static func entry(_ flag: FlagDeclaration) -> String {
        let name = flag.isSecret ? flag.environmentName : flag.name + (flag.valueName.map { " \($0)" } ?? "")
        let preset = flag.form == .switchedOn ? "" : flag.defaultText.map { " Default \($0)." } ?? ""
        return wrapped(flag.help + preset, label: "  \(name)", indentation: 30)
    }

    /// `label`, then the text in lines that begin at `indentation`, up to column 100.
    private static func wrapped(_ text: String, label: String, indentation: Int) -> String {
        var result = label
        var column = label.count
        if column >= indentation {
            result += "\n"
            column = 0
        }
        result += String(repeating: " ", count: indentation - column)
        column = indentation
        var isFirst = true
        for word in text.split(separator: " ") {
            if !isFirst, column + 1 + word.count > 100 {
                result += "\n" + String(repeating: " ", count: indentation)
                column = indentation
                isFirst = true
            }
            result += isFirst ? "\(word)" : " \(word)"
            column += word.count + (isFirst ? 0 : 1)
            isFirst = false
        }
        return result + "\n"
    }
}

extension String {
    /// A bar ends a cell of a Markdown table.
    fileprivate var replacingBars: String {
        split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
