import EventIO
import Synchronization
import TestSupport
import Testing

@Suite struct ConnectionEchoTests {
    /// What one exchange over an echo server brought back.
    struct Outcome: Sendable {
        var received: [UInt8] = []
        var error: IOError?
    }

    /// Sends `data` cut into random writes of every kind and collects the echo, pausing now and then.
    static func exchange(
        _ loop: EventLoop, with address: SocketAddress, data: [UInt8], seed: UInt64, largestWriteBytes: Int,
        tls: TLSClientConfiguration? = nil, pauses: Bool = false
    ) throws -> Outcome {
        let promise = Promise<Outcome>()
        let handler = ScriptedHandler()
        var generator = SeededGenerator(seed: seed)
        var outcome = Outcome()
        var sent = 0
        func sendMore(_ connection: Connection) {
            while sent < data.count, connection.pendingWriteBytes < 256 * 1024 {
                let count = min(Int.random(in: 1...largestWriteBytes, using: &generator), data.count - sent)
                let piece = Array(data[sent..<sent + count])
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: connection.writeCopy(piece)
                case 1: piece.withUnsafeBytes { connection.writeThrough($0) }
                default:
                    let owned = OwnedBytes(piece)
                    let middle = count / 2
                    connection.write(
                        [
                            UnsafeRawBufferPointer(rebasing: owned.bytes[..<middle]),
                            UnsafeRawBufferPointer(rebasing: owned.bytes[middle...]),
                        ], owner: owned)
                }
                sent += count
            }
            if sent == data.count { connection.shutdownWrite() }
        }
        handler.onReady = sendMore
        handler.onDrained = sendMore
        handler.onReceived = { connection, bytes in
            outcome.received.append(contentsOf: bytes)
            if sent < data.count, connection.pendingWriteBytes == 0 { sendMore(connection) }
            if pauses, Int.random(in: 0..<8, using: &generator) == 0 {
                connection.pauseReading()
                _ = connection.loop.schedule(after: .milliseconds(2)) { connection.resumeReading() }
            }
        }
        handler.onClosed = { _, error in
            outcome.error = error
            promise.fulfil(outcome)
        }
        loop.connect(to: address, tls: tls, serverName: tls == nil ? nil : "localhost", handler: handler)
        return try promise.wait()
    }

    @Test(arguments: [UInt64(1), 2, 3, 4])
    func echoOfRandomSizesInRandomWrites(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let data = generator.bytes(Int.random(in: 1...300_000, using: &generator))
        try withLoop { loop throws in
            let listener = try loop.echoListener()
            let outcome = try Self.exchange(
                loop, with: listener.localAddress, data: data, seed: seed, largestWriteBytes: 9000)
            #expect(outcome.error == nil)
            #expect(outcome.received == data)
        }
    }

    @Test func slowReaderHoldsTheWriterBackAndLosesNothing() throws {
        var generator = SeededGenerator(seed: 11)
        let data = generator.bytes(4_000_000)
        try withLoop("server") { server throws in
            let listener = try server.echoListener()
            try withLoop("client") { client throws in
                let outcome = try Self.exchange(
                    client, with: listener.localAddress, data: data, seed: 5, largestWriteBytes: 100_000, pauses: true)
                #expect(outcome.error == nil)
                #expect(outcome.received == data)
            }
        }
    }
}
