/// The exchanges of one connection that are not resolved, by number. Confined to their loop.
///
/// A connection that is read far ahead has thousands. They come at the end and leave mostly at the front, so finding,
/// adding and removing one costs next to nothing however many there are. Numbers rise, unless a record's header says
/// otherwise behind a gap; then they are looked for one by one.
struct ExchangeQueue {
    /// Those before `head` have left; their places are nil.
    private var places: ContiguousArray<ReplayExchange?> = []
    private var head = 0
    /// Before it stand only exchanges of which nothing more is sent.
    private var cursor = 0
    private var isSorted = true

    var isEmpty: Bool { head == places.count }
    var count: Int { places.count - head }
    var last: ReplayExchange? { places.last ?? nil }
    var all: [ReplayExchange] { places[head...].compactMap { $0 } }

    mutating func append(_ exchange: ReplayExchange) {
        if let last, last.number >= exchange.number { isSorted = false }
        places.append(exchange)
    }

    func exchange(_ number: Int) -> ReplayExchange? {
        // Mostly the last one is asked for.
        if isSorted, let last, last.number <= number { return last.number == number ? last : nil }
        guard isSorted else { return places[head...].first { $0?.number == number } ?? nil }
        let place = place(of: number)
        guard place < places.count, let found = places[place], found.number == number else { return nil }
        return found
    }

    /// The first one of which something is still sent.
    mutating func firstUnanswered() -> ReplayExchange? {
        while cursor < places.count, let exchange = places[cursor] {
            switch exchange.phase {
            case .answered, .recorded: cursor += 1
            case .reading, .waiting, .inFlight: return exchange
            }
        }
        return nil
    }

    /// False when it is not here.
    mutating func remove(_ exchange: ReplayExchange) -> Bool {
        let place =
            isSorted
            ? place(of: exchange.number) : places[head...].firstIndex { $0 === exchange } ?? places.count
        guard place < places.count, places[place] === exchange else { return false }
        if place == head {
            places[place] = nil
            head += 1
            cursor = max(cursor, head)
            compact()
        } else {
            places.remove(at: place)
            if place < cursor { cursor -= 1 }
        }
        return true
    }

    mutating func removeAll() {
        places.removeAll()
        head = 0
        cursor = 0
        isSorted = true
    }

    /// Where `number` stands, or would.
    private func place(of number: Int) -> Int {
        var low = head
        var high = places.count
        while low < high {
            let middle = (low + high) / 2
            guard let exchange = places[middle] else { preconditionFailure("place \(middle) is empty") }
            if exchange.number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func compact() {
        guard head == places.count || (head > 64 && head * 2 > places.count) else { return }
        if head == places.count { isSorted = true }
        places.removeFirst(head)
        cursor -= head
        head = 0
    }
}
