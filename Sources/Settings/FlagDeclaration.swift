/// One setting of a program: a flag on the command line and an environment variable.
package struct FlagDeclaration: Sendable, Equatable {
    package enum Form: Sendable, Equatable {
        /// `--name value`; the text names the value in the usage.
        case value(String)
        /// As `value`, and may be given several times.
        case repeatedValue(String)
        /// `--name`, `--name=true`, `--name=false`.
        case switchedOn
    }

    /// How much of a value is told in the log of a start; the rest may be secret.
    package enum Shown: Sendable, Equatable {
        case everything
        /// Of NAME=VALUE the name.
        case beforeEquals
        /// Of an address what stands before its query.
        case beforeQuestionMark
    }

    /// With the two hyphens.
    package let name: String
    package let form: Form
    /// One or two sentences.
    package let help: String
    /// As a person would write it; nil when there is none, or when `help` tells it.
    package let defaultText: String?
    /// Never shown. A secret has no flag, because arguments can be read by everyone on the machine: it comes from its
    /// environment variable only.
    package let isSecret: Bool
    /// Heading in the usage.
    package let group: String
    package let shown: Shown

    package init(
        _ name: String, _ form: Form, group: String, default defaultText: String? = nil, isSecret: Bool = false,
        shows shown: Shown = .everything, help: String
    ) {
        precondition(name.hasPrefix("--") && name.count > 2, "flag name \(name)")
        self.name = name
        self.form = form
        self.help = help
        self.defaultText = defaultText
        self.isSecret = isSecret
        self.group = group
        self.shown = shown
    }

    /// `--bulk-bytes` → `MILLRACE_BULK_BYTES`.
    package var environmentName: String {
        "MILLRACE_" + String(name.dropFirst(2).map { $0 == "-" ? "_" : $0 }).uppercased()
    }

    /// The value as it may be told.
    func told(_ value: String) -> String {
        if isSecret { return Secret("").description }
        switch shown {
        case .everything: return value
        case .beforeEquals: return value.prefix { $0 != "=" } + "=\(Secret(""))"
        case .beforeQuestionMark: return String(value.prefix { $0 != "?" })
        }
    }

    package var isRepeated: Bool {
        if case .repeatedValue = form { true } else { false }
    }

    package var valueName: String? {
        switch form {
        case .value(let name), .repeatedValue(let name): name
        case .switchedOn: nil
        }
    }
}

/// One mistake in what was given.
package struct SettingsProblem: Sendable, Equatable {
    /// The flag or the environment variable it is about; nil when it is about several.
    package let setting: String?
    /// What is wrong and what to do, without secrets.
    package let message: String

    package init(_ setting: String?, _ message: String) {
        self.setting = setting
        self.message = message
    }

    package var description: String { setting.map { "\($0): \(message)" } ?? message }
}

/// Every mistake that was found. Programs print them and exit with `ExitStatus.usage`.
package struct SettingsError: Error, Sendable, CustomStringConvertible {
    package let problems: [SettingsProblem]

    /// One line a mistake.
    package var description: String { problems.map(\.description).joined(separator: "\n") }
}
