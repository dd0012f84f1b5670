/// What happens on a connection. Every call comes on the connection's loop, and none comes from within a call that the
/// handler makes on a connection.
package protocol ConnectionHandler: AnyObject {
    /// The connection is usable: connected or accepted, and the TLS handshake is done. At most once, first.
    func connectionReady(_ connection: Connection)

    /// Bytes came. The memory is valid, and may be overwritten, during the call only, unless the handler supplied it.
    /// For the loop's own buffers `BufferPool.paddingBytes` behind the bytes may be read too.
    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer)

    /// The peer sends nothing more; writing may go on. The default closes once what is queued has been written.
    func connectionReadEnded(_ connection: Connection)

    /// `pendingWriteBytes` has come back to zero.
    func connectionWritesDrained(_ connection: Connection)

    /// Exactly once, last. `error` is nil when this side closed, or both sides ended in order. The connection lets go
    /// of the handler afterwards.
    func connectionClosed(_ connection: Connection, error: IOError?)

    /// The memory that the next read lands in, at least one byte; nil for a buffer of the loop. Asked before every
    /// read; a read may bring nothing, and then no call follows.
    func connectionReadBuffer(_ connection: Connection) -> UnsafeMutableRawBufferPointer?
}

extension ConnectionHandler {
    package func connectionReady(_ connection: Connection) {}
    package func connectionReadEnded(_ connection: Connection) { connection.close() }
    package func connectionWritesDrained(_ connection: Connection) {}
    package func connectionReadBuffer(_ connection: Connection) -> UnsafeMutableRawBufferPointer? { nil }
}
