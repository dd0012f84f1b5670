import Dispatch
import Glibc

/// A program run by a test: standard output and standard error go to files, so that nothing blocks on them.
package final class ChildProcess {
    package enum Ending: Equatable, Sendable {
        case exited(Int32)
        case signalled(Int32)
    }

    package let processID: pid_t
    private let outputPath: String
    private let errorPath: String
    private var ending: Ending?

    /// `folder` receives the files `NAME.out` and `NAME.err`.
    package init(_ words: [String], folder: String, name: String = "child", environment: [String: String] = [:]) throws
    {
        outputPath = "\(folder)/\(name).out"
        errorPath = "\(folder)/\(name).err"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") }
        let inherited = variables.count
        var entry = environ
        while let variable = entry.pointee {
            variables.append(variable)
            entry += 1
        }
        variables.append(nil)
        defer {
            for word in argv { free(word) }
            for position in 0..<inherited { free(variables[position]) }
        }
        var process = pid_t()
        let code = posix_spawnp(&process, words[0], &actions, nil, &argv, &variables)
        guard code == 0 else { throw FileFailure("start \(words[0])", code) }
        processID = process
    }

    deinit {
        if ending == nil {
            kill(SIGKILL)
            wait()
        }
    }

    package func kill(_ signal: Int32) { if ending == nil { Glibc.kill(processID, signal) } }

    /// Waits for the end.
    @discardableResult
    package func wait() -> Ending {
        if let ending { return ending }
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0 && errno == EINTR {}
        let result: Ending = status & 0x7F == 0 ? .exited((status >> 8) & 0xFF) : .signalled(status & 0x7F)
        ending = result
        return result
    }

    package var outputText: String { text(outputPath) }
    package var errorText: String { text(errorPath) }

    private func text(_ path: String) -> String { String(decoding: (try? FileTree.read(path)) ?? [], as: UTF8.self) }
}
