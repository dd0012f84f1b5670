/// The usage text and the reference page, both made from the table of flags.
package enum BackfillUsage {
    /// For a terminal: 100 columns.
    package static var text: String {
        var text = """
            Sends the documents of an Elasticsearch or OpenSearch snapshot to a cluster.

            usage: millraced backfill --repository FOLDER --snapshot NAME --target URL --coordinator file:///FOLDER
                                      [FLAG...]

            Every flag may be given as an environment variable, --bulk-bytes as MILLRACE_BULK_BYTES; the flag goes
            first. Running the same command again resumes.

            """
        for (group, flags) in groups(of: BackfillFlags.all) {
            text += "\n\(group)\n"
            for flag in flags { text += entry(flag) }
        }
        text += "\nSizes: 65536, 10MB, 256MiB. Times: 250ms, 30s, 5m, 2h.\n\nExit status\n"
        for status in ExitStatus.allCases {
            text += wrapped(status.meaning, label: "  \(status.rawValue)", indentation: 8)
        }
        return text
    }

    /// `Sources/Backfill/Backfill.docc/Flags.md`.
    package static var markdown: String {
        var text = """
            # Flags of `millraced backfill`

            Generated from `Sources/Settings/BackfillFlags.swift`; a test compares, and renews this file when
            `MILLRACE_RENEW_GOLDEN=1` is set: `swift test --filter BackfillUsage`.

            Each flag may be given as an environment variable; the flag goes first. Sizes: `65536`, `10MB`, `256MiB`.
            Times: `250ms`, `30s`, `5m`, `2h`.

            """
        text += tables(of: BackfillFlags.all)
        text += "\n## Exit status\n\n| status | meaning |\n|---|---|\n"
        for status in ExitStatus.allCases { text += "| \(status.rawValue) | \(status.meaning) |\n" }
        return text
    }

    /// The tables of a reference page, one a group of flags.
    static func tables(of declared: [FlagDeclaration]) -> String {
        var text = ""
        for (group, flags) in groups(of: declared) {
            text += "\n## \(group)\n\n| flag | environment | default | meaning |\n|---|---|---|---|\n"
            for flag in flags {
                let value = flag.valueName.map { " \($0)" } ?? ""
                let shown = flag.isSecret ? "–" : "`\(flag.name)\(value)`".replacingBars
                let preset = flag.defaultText.map { "`\($0)`" } ?? ""
                text += "| \(shown) | `\(flag.environmentName)` | \(preset) | \(flag.help.replacingBars) |\n"
            }
        }
        return text
    }

    /// In the order of declaration.
    static func groups(of declared: [FlagDeclaration]) -> [(name: String, flags: [FlagDeclaration])] {
        var groups: [(name: String, flags: [FlagDeclaration])] = []
        for flag in declared {
            if groups.last?.name == flag.group {
                groups[groups.count - 1].flags.append(flag)
            } else {
                groups.append((flag.group, [flag]))
            }
        }
        return groups
    }

    static func entry(_ flag: FlagDeclaration) -> String {
        let name = flag.isSecret ? flag.environmentName : flag.name + (flag.valueName.map { " \($0)" } ?? "")
        let preset = flag.form == .switchedOn ? "" : flag.defaultText.map { " Default \($0)." } ?? ""
        return wrapped(flag.help + preset, label: "  \(name)", indentation: 30)
    }

    /// `label`, then the text in lines that begin at `indentation`, up to column 100.
    static func wrapped(_ text: String, label: String, indentation: Int) -> String {
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
