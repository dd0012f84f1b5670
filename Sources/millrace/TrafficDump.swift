import CapturedTraffic
import JSONBytes
import Settings

/// `millrace traffic dump`: prints exchanges as they end, or records as they are.
struct TrafficDump {
    /// Of one connection.
    private struct Connection {
        let id: [UInt8]
        let node: [UInt8]
        var reassembler = ExchangeReassembler()
        var collector = ExchangeCollector()
    }

    private struct ConnectionName: Hashable {
        let node: [UInt8]
        let connection: [UInt8]
    }

    /// Connections that ended are remembered, so that records which a log holds twice are not printed twice. The older
    /// half goes when there are this many.
    private static let endedConnectionLimit = 1 << 16

    private let isJSON: Bool
    private let connection: [UInt8]?
    private var output = TrafficOutput()
    private var connections: [ConnectionName: Connection] = [:]
    /// In order of their first record.
    private var order: [ConnectionName] = []
    private var ended: Set<ConnectionName> = []
    private var endedBefore: Set<ConnectionName> = []
    private var text = TrafficText()
    private var unreadableCount = 0

    init(isJSON: Bool, connection: [UInt8]?) {
        self.isJSON = isJSON
        self.connection = connection
    }

    mutating func printExchanges(_ source: any TrafficSource) throws(TrafficFailure) -> Int32 {
        try forEachRecord(source) { dump, record, reader in
            dump.take(record, reader, source.location)
        }
        for name in order {
            guard var connection = connections[name] else { continue }
            connection.reassembler.finish(into: &connection.collector)
            print(&connection)
        }
        return end()
    }

    mutating func printRecords(_ source: any TrafficSource) throws(TrafficFailure) -> Int32 {
        try forEachRecord(source) { dump, record, reader in
            var reader = reader
            if dump.isJSON {
                var json = JSONWriter()
                let failure = RawRecord.append(record, &reader, to: &json)
                dump.output.append(json.bytes + [UInt8(ascii: "\n")])
                if let failure { dump.report("\(source.location), \(record.position): \(failure)") }
            } else {
                var text: [UInt8] = []
                let failure = RawRecord.append(record, &reader, to: &text)
                dump.output.append(text)
                if let failure { dump.report("\(source.location), \(record.position): \(failure)") }
            }
        }
        return end()
    }

    private mutating func forEachRecord(
        _ source: any TrafficSource,
        _ body: (inout TrafficDump, SourceRecord, TrafficStreamReader) -> Void
    ) throws(TrafficFailure) {
        while true {
            let record: SourceRecord?
            do throws(TrafficFailure) {
                record = try source.next()
            } catch {
                // What came before is shown whatever comes after.
                guard error.status == .unreadable else {
                    output.flush()
                    throw error
                }
                report(error.message)
                continue
            }
            guard let record else { return }
            // The slices of the reader stay good as long as the bytes are held here.
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, record.value.count), alignment: 1)
            defer { memory.deallocate() }
            memory.copyBytes(from: record.value)
            let bytes = UnsafeRawBufferPointer(rebasing: memory[..<record.value.count])
            do throws(TrafficStreamError) {
                let reader = try TrafficStreamReader(bytes)
                if let connection, !reader.header.connectionID.elementsEqual(connection) { continue }
                body(&self, record, reader)
            } catch {
                report("\(source.location), \(record.position): \(error)")
            }
        }
    }

    private mutating func take(_ record: SourceRecord, _ reader: TrafficStreamReader, _ location: String) {
        let name = ConnectionName(node: Array(reader.header.nodeID), connection: Array(reader.header.connectionID))
        if ended.contains(name) || endedBefore.contains(name) { return }
        if connections[name] == nil { order.append(name) }
        // Taken out of the dictionary, so that changing it does not copy it.
        var connection = connections.removeValue(forKey: name) ?? Connection(id: name.connection, node: name.node)
        do throws(TrafficStreamError) {
            let outcome = try connection.reassembler.receive(reader, into: &connection.collector)
            if case .gap(let count) = outcome {
                TrafficConsole.error(
                    "\(location), \(record.position): \(count) records of connection "
                        + "\(CapturedMessage.text(name.connection)) are missing before this one\n")
            }
        } catch {
            report("\(location), \(record.position): \(error)")
        }
        print(&connection)
        if connection.reassembler.isClosed, connection.collector.isEmpty {
            forget(name)
        } else {
            connections[name] = connection
        }
    }

    private mutating func forget(_ name: ConnectionName) {
        ended.insert(name)
        if ended.count >= Self.endedConnectionLimit / 2 {
            endedBefore = ended
            ended = []
        }
        if order.count > 2 * (connections.count + 1024) {
            let connections = connections
            order.removeAll { connections[$0] == nil }
        }
    }

    private mutating func print(_ connection: inout Connection) {
        for exchange in connection.collector.takeFinished() {
            if isJSON {
                var json = JSONWriter()
                exchange.append(
                    to: &json, connection: CapturedMessage.text(connection.id),
                    node: CapturedMessage.text(connection.node))
                output.append(json.bytes + [UInt8(ascii: "\n")])
            } else {
                output.append(text.exchange(exchange, connection: CapturedMessage.text(connection.id)).utf8)
            }
        }
    }

    private mutating func report(_ message: String) {
        unreadableCount += 1
        TrafficConsole.error("millrace traffic dump: \(message)\n")
    }

    private mutating func end() -> Int32 {
        output.flush()
        return unreadableCount == 0 ? 0 : ExitStatus.unreadable.rawValue
    }
}
