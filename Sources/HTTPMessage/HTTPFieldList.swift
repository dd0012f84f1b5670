import CSystem

/// Where a field line stands in the head. The value excludes the white space around it.
package struct HTTPField: Sendable {
    let line: millrace_http_field

    package var name: Range<Int> { Int(line.name_start)..<Int(line.name_end) }
    package var value: Range<Int> { Int(line.value_start)..<Int(line.value_end) }
    package var known: HTTPFieldName { HTTPFieldName(rawValue: UInt8(truncatingIfNeeded: line.name)) ?? .other }
}

extension HTTPField: Equatable {
    package static func == (left: HTTPField, right: HTTPField) -> Bool {
        left.name == right.name && left.value == right.value && left.known == right.known
    }
}

/// Field lines in order of arrival. Emptying it keeps its storage, so that a scanner in use does not allocate; a plain
/// array's `removeAll` and `append` cost a third of the time of a small head (measured).
package struct HTTPFieldList: RandomAccessCollection, Sendable {
    /// Elements from `endIndex` on are left over.
    private var storage: ContiguousArray<HTTPField> = []
    package private(set) var endIndex = 0

    package var startIndex: Int { 0 }

    package subscript(index: Int) -> HTTPField {
        precondition(index >= 0 && index < endIndex, "field \(index) of \(endIndex)")
        return storage[index]
    }

    mutating func removeAll() { endIndex = 0 }

    mutating func append(_ field: HTTPField) {
        if endIndex == storage.count { grow() }
        storage[endIndex] = field
        endIndex += 1
    }

    private mutating func grow() {
        let empty = millrace_http_field(name_start: 0, name_end: 0, value_start: 0, value_end: 0, name: 0)
        storage.append(contentsOf: repeatElement(HTTPField(line: empty), count: Swift.max(16, storage.count)))
    }

    /// Takes whole, well-formed lines from `position` on until `fieldCountLimit` fields are held.
    mutating func takeWholeLines(
        _ base: UnsafePointer<UInt8>, _ position: inout Int, to end: Int, fieldCountLimit: Int
    ) {
        while endIndex < fieldCountLimit {
            if endIndex == storage.count { grow() }
            let free = Swift.min(storage.count, fieldCountLimit) - endIndex
            let taken = storage.withUnsafeMutableBufferPointer { fields -> Int in
                guard let start = fields.baseAddress else { return 0 }
                // `HTTPField` has the layout of the only member that it has.
                return UnsafeMutableRawPointer(start + endIndex).withMemoryRebound(
                    to: millrace_http_field.self, capacity: free
                ) { millrace_http_field_lines(base, &position, end, $0, free) }
            }
            endIndex += taken
            if taken < free { return }
        }
    }
}

extension HTTPFieldList: Equatable {
    package static func == (left: HTTPFieldList, right: HTTPFieldList) -> Bool { left.elementsEqual(right) }
}
