/// Why a record could not be logged or read.
package struct TrafficLogError: Error, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The writer's queue holds as much as it may. The record was not taken; `TrafficLogSink.logHasRoom` follows.
        case full
        /// The record is larger than the log takes.
        case tooLarge
        /// The log refuses the credentials, or what they may do.
        case authentication
        /// The TLS handshake or the check of a certificate failed.
        case tls
        /// The topic does not exist.
        case topicMissing
        /// The log does not answer, or its medium fails.
        case unavailable
        /// What the log holds contradicts itself: a checksum, a length or a number is wrong.
        case corrupt
        /// Records that should be there are gone: removed by retention or by hand.
        case missing
        /// The disk is full.
        case diskFull
        /// Another writer has the folder.
        case locked
        /// The address or a setting cannot be understood or is not supported.
        case invalidSetting
        /// The writer is closed.
        case closed
    }

    /// What to do about it.
    package enum Disposition: Sendable, Equatable {
        /// Another attempt may succeed.
        case retry
        /// This record never will, others may.
        case rejectItem
        /// Nothing will until somebody changes something.
        case stop
    }

    package let code: Code
    /// One line that names the log, and the file and byte where there is one. No secret.
    package let message: String
    package let disposition: Disposition
    /// The damaged file, for `corrupt`.
    package let file: String?
    /// Where in `file` the damage begins.
    package let offset: Int64?

    /// `disposition` follows from the code unless given.
    package init(
        _ code: Code, _ message: String, disposition: Disposition? = nil, file: String? = nil, offset: Int64? = nil
    ) {
        self.code = code
        self.message = message
        self.file = file
        self.offset = offset
        if let disposition {
            self.disposition = disposition
        } else {
            switch code {
            case .full, .unavailable, .diskFull: self.disposition = .retry
            case .tooLarge: self.disposition = .rejectItem
            default: self.disposition = .stop
            }
        }
    }

    package var description: String { message }
}
