import JSONBytes

/// A `_bulk` response that cannot be read, with the byte offset where reading stopped.
package typealias BulkResponseError = JSONError

/// Reads a `_bulk` response in one pass, without a value tree.
///
///     {"took":3,"errors":true,"items":[{"index":{"_id":"1","status":201}},
///                                      {"index":{"_id":"2","status":400,"error":{"type":"…","reason":"…"}}}]}
///
/// Unknown members are skipped wherever they stand, so every `filter_path` and every engine's extras are accepted.
package struct BulkResponseScanner {
    /// One element of `items`.
    package struct Item: Equatable, Sendable {
        /// The item's own HTTP status, 0 when it has none.
        package var status: Int
        /// Where the element stands in the response, braces included.
        package var range: Range<Int>
        /// Where its `error` value stands.
        package var error: Range<Int>?
        /// Where the text of its `_id` stands, without the quotation marks and with its escapes.
        package var id: Range<Int>?
    }

    /// What the response says as a whole.
    package struct Summary: Equatable, Sendable {
        /// The `errors` member, nil when absent.
        package var hasErrors: Bool?
        package var itemCount = 0
    }

    private var cursor: JSONByteCursor

    /// Calls `item` for every element of `items` in order and returns the summary.
    package static func scan(
        _ bytes: UnsafeRawBufferPointer, item: (Int, Item) -> Void
    ) throws(BulkResponseError) -> Summary {
        var scanner = BulkResponseScanner(cursor: JSONByteCursor(bytes: bytes))
        return try scanner.scanResponse(item)
    }

    private mutating func scanResponse(_ item: (Int, Item) -> Void) throws(BulkResponseError) -> Summary {
        var summary = Summary()
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            if cursor.equals(key, "errors") {
                summary.hasErrors = try cursor.bool()
            } else if cursor.equals(key, "items") {
                try cursor.expect(UInt8(ascii: "["))
                while try cursor.nextElement() {
                    item(summary.itemCount, try scanItem())
                    summary.itemCount += 1
                }
            } else {
                try cursor.skipValue()
            }
        }
        try cursor.expectEnd()
        return summary
    }

    private mutating func scanItem() throws(BulkResponseError) -> Item {
        cursor.skipWhiteSpace()
        let start = cursor.offset
        var result = Item(status: 0, range: start..<start, error: nil)
        try cursor.expect(UInt8(ascii: "{"))
        while try cursor.nextKey() != nil {  // the operation's name: index, create, update, delete
            try cursor.expect(UInt8(ascii: "{"))
            while let key = try cursor.nextKey() {
                if cursor.equals(key, "status") {
                    result.status = try cursor.smallInteger()
                } else if cursor.equals(key, "error") {
                    cursor.skipWhiteSpace()
                    let errorStart = cursor.offset
                    try cursor.skipValue()
                    result.error = errorStart..<cursor.offset
                } else if cursor.equals(key, "_id"), cursor.peek() == UInt8(ascii: "\"") {
                    let idStart = cursor.offset + 1
                    try cursor.skipValue()
                    result.id = idStart..<(cursor.offset - 1)
                } else {
                    try cursor.skipValue()
                }
            }
        }
        result.range = start..<cursor.offset
        return result
    }
}

/// The `type` and `reason` of an error object of Elasticsearch or OpenSearch, as text for people and policies.
package struct EngineError: Equatable, Sendable {
    package var type = ""
    package var reason = ""

    /// Reads `{"type":…,"reason":…}`, or a whole response with that object under `error`. What cannot be read is left
    /// empty: the caller reports the raw answer as well.
    package init(_ bytes: UnsafeRawBufferPointer) {
        var cursor = JSONByteCursor(bytes: bytes)
        try? read(&cursor, mayNest: true)
    }

    /// An error object stands in a response at most, so one level is all that is entered: an answer of a million nested
    /// `error` members must not use up the stack.
    private mutating func read(_ cursor: inout JSONByteCursor, mayNest: Bool) throws(BulkResponseError) {
        guard cursor.peek() == UInt8(ascii: "{") else {
            reason = try cursor.text()
            return
        }
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            if cursor.equals(key, "type"), cursor.peek() == UInt8(ascii: "\"") {
                type = try cursor.text()
            } else if cursor.equals(key, "reason"), cursor.peek() == UInt8(ascii: "\"") {
                reason = try cursor.text()
            } else if mayNest, cursor.equals(key, "error") {
                try read(&cursor, mayNest: false)
            } else {
                try cursor.skipValue()
            }
        }
    }
}
