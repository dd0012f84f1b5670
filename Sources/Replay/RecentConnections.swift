/// Finds the connection of a record by the bytes that name it, without making a key of text: records of a hundred
/// connections or so take turns. Confined to its loop.
///
/// One place for each hash; who comes later takes it. `ReplayEngine.connections` has them all.
struct RecentConnections {
    private static let placeCount = 1024
    private var places: [SourceConnection?] = Array(repeating: nil, count: Self.placeCount)

    func find(_ partition: Int32, node: UnsafeRawBufferPointer, id: UnsafeRawBufferPointer) -> SourceConnection? {
        guard let found = places[Self.place(id)], found.isNamed(partition, node: node, id: id) else { return nil }
        return found
    }

    mutating func keep(_ connection: SourceConnection) { places[place(of: connection)] = connection }

    mutating func forget(_ connection: SourceConnection) {
        let place = place(of: connection)
        if places[place] === connection { places[place] = nil }
    }

    private func place(of connection: SourceConnection) -> Int {
        connection.idBytes.withUnsafeBytes { Self.place($0) }
    }

    /// The nodes' own parts of an id differ at its end, so eight bytes at a time are enough of a mixture.
    private static func place(_ id: UnsafeRawBufferPointer) -> Int {
        var hash = UInt64(truncatingIfNeeded: id.count)
        var start = 0
        while start + 8 <= id.count {
            hash = (hash ^ id.loadUnaligned(fromByteOffset: start, as: UInt64.self)) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
            start += 8
        }
        for byte in id[start...] { hash = (hash ^ UInt64(byte)) &* 0x9E37_79B9_7F4A_7C15 }
        return Int(truncatingIfNeeded: hash >> 40) & (placeCount - 1)
    }
}
