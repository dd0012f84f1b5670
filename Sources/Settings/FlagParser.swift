import Glibc

/// What was given for each flag, and where. The command line goes before the environment.
package struct ParsedFlags: Sendable {
    package struct Given: Sendable, Equatable {
        package let values: [String]
        /// The flag or the variable, as the user would look for it.
        package let origin: String
    }

    package fileprivate(set) var isHelpRequested = false
    fileprivate var given: [String: Given] = [:]

    /// What was given for the flag with this name.
    package func given(_ name: String) -> Given? { given[name] }

    /// Everything that was given, with the names of the flags, for the log of a start: what may be secret is left out,
    /// and so is what has its default.
    func told(_ declarations: [FlagDeclaration]) -> [(name: String, value: String)] {
        declarations.compactMap { declaration in
            given(declaration.name).map {
                (declaration.name, $0.values.map(declaration.told).joined(separator: " "))
            }
        }
    }
}

/// Reads a command line and the environment against declarations, and notes every mistake rather than stop at one.
package struct FlagParser {
    private let declarations: [String: FlagDeclaration]
    private let declared: [FlagDeclaration]
    private var flags = ParsedFlags()
    private var problems: [SettingsProblem] = []

    /// The process's own environment.
    package static let processEnvironment: @Sendable (String) -> String? = { name in
        getenv(name).map { String(cString: $0) }
    }

    private init(_ declared: [FlagDeclaration]) {
        self.declared = declared
        declarations = Dictionary(uniqueKeysWithValues: declared.map { ($0.name, $0) })
    }

    /// `arguments` without the program's name and role. The flags are those that could be read.
    package static func parse(
        _ arguments: [String], environment: (String) -> String?, declarations: [FlagDeclaration]
    ) -> (flags: ParsedFlags, problems: [SettingsProblem]) {
        var parser = FlagParser(declarations)
        parser.readArguments(arguments)
        parser.readEnvironment(environment)
        return (parser.flags, parser.problems)
    }

    private mutating func readArguments(_ arguments: [String]) {
        var values: [String: [String]] = [:]
        var position = 0
        while position < arguments.count {
            let argument = arguments[position]
            position += 1
            if argument == "--help" || argument == "-h" {
                flags.isHelpRequested = true
                continue
            }
            guard argument.hasPrefix("--"), argument.count > 2 else {
                problems.append(SettingsProblem(nil, "unexpected argument \"\(argument)\"; settings begin with --"))
                continue
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts[0]
            var value = parts.count > 1 ? parts[1] : nil
            // The value of an unknown flag is passed over, so that it is not a second mistake.
            guard let declaration = usable(name) else {
                if value == nil, position < arguments.count, !arguments[position].hasPrefix("-") { position += 1 }
                continue
            }
            if case .switchedOn = declaration.form {
                value = value ?? "true"
            } else if value == nil, position < arguments.count, !arguments[position].hasPrefix("--") {
                value = arguments[position]
                position += 1
            }
            guard let value, !value.isEmpty else {
                let valueName = declaration.valueName ?? "true|false"
                problems.append(SettingsProblem(name, "needs a value: \(name) \(valueName)"))
                values[name, default: []] += []
                continue
            }
            values[name, default: []].append(value)
        }
        for declaration in declared {
            guard let found = values[declaration.name] else { continue }
            if found.count > 1, !declaration.isRepeated {
                problems.append(SettingsProblem(declaration.name, "given \(found.count) times"))
            }
            flags.given[declaration.name] = ParsedFlags.Given(values: found, origin: declaration.name)
        }
    }

    /// The declaration, unless the flag is unknown or may not be given here.
    private mutating func usable(_ name: String) -> FlagDeclaration? {
        guard let declaration = declarations[name] else {
            let hint = Self.nearest(name, in: declared.filter { !$0.isSecret }.map(\.name) + ["--help"])
            problems.append(SettingsProblem(name, "unknown flag" + (hint.map { "; did you mean \($0)?" } ?? "")))
            return nil
        }
        guard !declaration.isSecret else {
            problems.append(
                SettingsProblem(
                    name,
                    "a secret is not taken from the arguments; use \(name)-file or \(declaration.environmentName)"))
            return nil
        }
        return declaration
    }

    /// An empty variable counts as not given: that is how templates leave a setting out. A repeated setting's values
    /// are separated by white space.
    private mutating func readEnvironment(_ environment: (String) -> String?) {
        for declaration in declared where flags.given[declaration.name] == nil {
            let name = declaration.environmentName
            guard let text = environment(name), !text.isEmpty else { continue }
            let values = declaration.isRepeated ? text.split(whereSeparator: \.isWhitespace).map(String.init) : [text]
            guard !values.isEmpty else { continue }
            flags.given[declaration.name] = ParsedFlags.Given(values: values, origin: name)
        }
    }

    /// The known name that is fewest changes away, when those are few.
    static func nearest(_ name: String, in known: [String]) -> String? {
        let limit = max(2, name.count / 3)
        let ranked = known.map { (name: $0, distance: editDistance(Array(name.utf8), Array($0.utf8))) }
        guard let best = ranked.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }), best.distance <= limit
        else { return nil }
        return best.name
    }

    /// Levenshtein's distance, one row at a time.
    static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (leftIndex, leftByte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = leftIndex + 1
            for (rightIndex, rightByte) in right.enumerated() {
                let replaced = diagonal + (leftByte == rightByte ? 0 : 1)
                diagonal = row[rightIndex + 1]
                row[rightIndex + 1] = min(replaced, diagonal + 1, row[rightIndex] + 1)
            }
        }
        return row[right.count]
    }
}
