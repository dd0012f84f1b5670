import CSystem
import Glibc
import Synchronization

/// Which items of a bulk the sink refuses: every n-th, counted over all requests.
package struct SinkFault: Sendable {
    package let every: Int
    package let status: Int

    package init(every: Int, status: Int) {
        self.every = max(1, every)
        self.status = status
    }

    /// `N:STATUS`, for example `100:429`.
    package init?(_ text: String) {
        let parts = text.split(separator: ":").compactMap { Int($0) }
        guard parts.count == 2, parts[0] > 0, (100...599).contains(parts[1]) else { return nil }
        self.init(every: parts[0], status: parts[1])
    }
}

/// Reads a bulk body as it arrives, in pieces cut anywhere, and writes the item list of the answer. Source lines are
/// only searched for their end, so that the sink costs far less than what it measures.
struct BulkBodyCounter {
    private(set) var documentCount = 0
    private(set) var rejectedCount = 0
    private(set) var deleteCount = 0
    /// The items of the answer, separated by commas, without the brackets.
    private(set) var items: [UInt8] = []
    /// `index TAB id LF` of every accepted item, when ids are recorded.
    private(set) var records: [UInt8] = []
    private var actionLine: [UInt8] = []
    private var isInSource = false
    private var isAccepted = false
    private let isShort: Bool
    private let isRecording: Bool
    private let pathIndex: [UInt8]
    private let fault: SinkFault?
    private let sink: BulkSink
    /// The number of the current item over all requests and connections.
    private var sequence = 0

    init(pathIndex: [UInt8], isShort: Bool, isRecording: Bool, fault: SinkFault?, sink: BulkSink) {
        self.pathIndex = pathIndex
        self.isShort = isShort
        self.isRecording = isRecording
        self.fault = fault
        self.sink = sink
    }

    /// A body must end with a line break and may not end before the last action's source.
    var isComplete: Bool { actionLine.isEmpty && !isInSource }

    mutating func consume(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        var position = 0
        while position < bytes.count {
            let rest = bytes.count - position
            let length = millrace_find_byte(base + position, rest, UInt8(ascii: "\n"))
            let line = UnsafeBufferPointer(start: base + position, count: length)
            position += min(length + 1, rest)
            if isInSource {
                if length < rest { isInSource = false }
            } else if length == rest {
                actionLine.append(contentsOf: line)
            } else if actionLine.isEmpty {
                act(line)
            } else {
                actionLine.append(contentsOf: line)
                let whole = actionLine
                actionLine.removeAll(keepingCapacity: true)
                whole.withUnsafeBufferPointer { act($0) }
            }
        }
    }

    private mutating func act(_ line: UnsafeBufferPointer<UInt8>) {
        if line.isEmpty { return }
        let isDelete = line.count > 8 && line[2] == UInt8(ascii: "d")
        isInSource = !isDelete
        sequence = sink.faultSequence.add(1, ordering: .relaxed).newValue
        let status = fault.flatMap { sequence % $0.every == 0 ? $0.status : nil }
        isAccepted = status == nil
        let index = Self.member("\"_index\"", of: line).map { Array($0) } ?? pathIndex
        let id = Self.member("\"_id\"", of: line).map { Array($0) } ?? Array("auto-\(sequence)".utf8)
        if status != nil { rejectedCount += 1 } else if isDelete { deleteCount += 1 } else { documentCount += 1 }
        if isRecording && status == nil {
            records += index
            records.append(UInt8(ascii: "\t"))
            records += id
            records.append(UInt8(ascii: "\n"))
        }
        appendItem(
            isDelete ? "delete" : line.count > 2 && line[2] == UInt8(ascii: "c") ? "create" : "index", index, id, status
        )
    }

    private mutating func appendItem(_ action: StaticString, _ index: [UInt8], _ id: [UInt8], _ status: Int?) {
        if !items.isEmpty { items.append(UInt8(ascii: ",")) }
        add("{\"")
        add(action)
        add("\":{")
        if !isShort {
            add("\"_index\":\"")
            items += index
            add("\",\"_id\":\"")
            items += id
            add("\",")
        }
        if let status {
            items += Array("\"status\":\(status),\"error\":{\"type\":\"\(Self.errorType(status))\",".utf8)
            add("\"reason\":\"refused by the sink\"}}}")
            return
        }
        if !isShort {
            add("\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0}")
            add(",\"_seq_no\":")
            items += Array("\(sequence)".utf8)
            add(",\"_primary_term\":1,")
        }
        add("\"status\":201}}")
    }

    static func errorType(_ status: Int) -> String {
        status == 429 ? "rejected_execution_exception" : status == 400 ? "mapper_parsing_exception" : "sink_exception"
    }

    private mutating func add(_ text: StaticString) {
        items.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The bytes of a string member, still escaped; the first quote that no backslash precedes ends it.
    private static func member(_ name: StaticString, of line: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>?
    {
        guard let base = line.baseAddress,
            let found = memmem(base, line.count, name.utf8Start, name.utf8CodeUnitCount)
        else { return nil }
        var start = UnsafeRawPointer(base).distance(to: UnsafeRawPointer(found)) + name.utf8CodeUnitCount
        while start < line.count && (line[start] == UInt8(ascii: " ") || line[start] == UInt8(ascii: ":")) {
            start += 1
        }
        guard start < line.count, line[start] == UInt8(ascii: "\"") else { return nil }
        start += 1
        var end = start
        while end < line.count && line[end] != UInt8(ascii: "\"") { end += line[end] == UInt8(ascii: "\\") ? 2 : 1 }
        return UnsafeBufferPointer(rebasing: line[start..<min(end, line.count)])
    }
}
