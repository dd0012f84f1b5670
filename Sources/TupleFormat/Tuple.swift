/// One HTTP message of a tuple, where it lies. The memory is the caller's and lives as long as the call.
package struct TupleMessage {
    /// The whole head with its empty line.
    package var head: UnsafeRawBufferPointer
    /// What follows it, in order.
    package var body: [UnsafeRawBufferPointer]
    /// `body` is as it went over the wire: the framing of chunks is in it.
    package var isBodyFramed: Bool
    /// Of responses: from the request's last byte to the response's last.
    package var responseTimeMilliseconds: Int?

    package init(
        head: UnsafeRawBufferPointer, body: [UnsafeRawBufferPointer] = [], isBodyFramed: Bool = true,
        responseTimeMilliseconds: Int? = nil
    ) {
        self.head = head
        self.body = body
        self.isBodyFramed = isBodyFramed
        self.responseTimeMilliseconds = responseTimeMilliseconds
    }
}

/// An exchange with the source beside what became of it at the target.
package struct Tuple {
    /// Of the source's connection, as it was recorded.
    package var connectionID: UnsafeRawBufferPointer
    /// Of the request on its connection, from 0.
    package var requestNumber: Int
    /// When the source had the whole request, in milliseconds since 1970; nil when it is not known.
    package var sourceTimeMilliseconds: Int64?
    package var sourceRequest: TupleMessage?
    package var sourceResponse: TupleMessage?
    /// As it was sent last.
    package var targetRequest: TupleMessage?
    /// One for each attempt that was answered, the last one last.
    package var targetResponses: [TupleMessage]
    /// Why there is no answer, or none that counts.
    package var error: String?
    package var numRequests: Int
    package var numErrors: Int
    /// What the comparison of the whole messages found. It is written when a body is cut, as nobody can repeat it then.
    package var verdict: TupleVerdict?

    package init(
        connectionID: UnsafeRawBufferPointer, requestNumber: Int, sourceTimeMilliseconds: Int64? = nil,
        sourceRequest: TupleMessage? = nil, sourceResponse: TupleMessage? = nil, targetRequest: TupleMessage? = nil,
        targetResponses: [TupleMessage] = [], error: String? = nil, numRequests: Int = 1, numErrors: Int = 0,
        verdict: TupleVerdict? = nil
    ) {
        self.connectionID = connectionID
        self.requestNumber = requestNumber
        self.sourceTimeMilliseconds = sourceTimeMilliseconds
        self.sourceRequest = sourceRequest
        self.sourceResponse = sourceResponse
        self.targetRequest = targetRequest
        self.targetResponses = targetResponses
        self.error = error
        self.numRequests = numRequests
        self.numErrors = numErrors
        self.verdict = verdict
    }
}

/// What the comparison of the source's response with the target's last one found.
package enum TupleVerdict: Equatable, Sendable {
    case match
    case statusDiffers(source: Int, target: Int)
    case bodyDiffers(BodyDifference)
    /// The target gave no answer.
    case targetMissing
    /// The source's response was not captured.
    case sourceMissing
    case notComparable(Reason)

    package enum Reason: String, Sendable, CaseIterable {
        /// A body was cut when the tuple was written, and the rest does not tell.
        case bodyCut
        /// A body passes the limit for comparisons, and the bytes differ.
        case bodyTooLarge
        /// Comparing took more steps than are allowed.
        case tooManySteps
        /// A response is not whole, or not HTTP.
        case unreadable
        /// A content coding that is not read, or a body that is not what its coding says.
        case unknownCoding
    }
}

/// The first difference of two bodies.
package struct BodyDifference: Equatable, Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// The source has a member that the target lacks.
        case missing
        /// The target has a member that the source lacks.
        case added
        case type
        case value
        /// Arrays, or sequences of documents, of different lengths.
        case count
        /// Bodies that are not both JSON.
        case text
    }

    /// Keys from the top, joined by dots; `*` for any place in an array. Empty for the whole body.
    package var path: String
    package var kind: Kind
    /// What stands there, cut after `exampleBytes`; empty where nothing does.
    package var source: String
    package var target: String

    package static let exampleBytes = 120

    package init(path: String, kind: Kind, source: String, target: String) {
        self.path = path
        self.kind = kind
        self.source = source
        self.target = target
    }
}
