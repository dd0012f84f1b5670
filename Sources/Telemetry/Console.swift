import CSystem
import Glibc

/// Text for a person on standard output and standard error, and what is known of the terminal there.
package enum Console {
    package static func output(_ text: String) { write(text, to: STDOUT_FILENO) }
    package static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    package static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
    package static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Columns of the terminal on standard error, as of now: windows change. nil when it does not tell.
    package static var errorColumns: Int? {
        let columns = Int(millrace_terminal_columns(STDERR_FILENO))
        return columns > 0 ? columns : nil
    }

    /// A descriptor that takes nothing more loses the rest: there is nobody left to tell.
    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(
                    descriptor, bytes.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
                if count < 0 {
                    if errno == EINTR { continue }
                    return
                }
                written += count
            }
        }
    }
}
