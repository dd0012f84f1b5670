/// Names a scheduled timer. A token of a timer that has fired or was cancelled names nothing.
package struct TimerToken: Sendable, Hashable {
    fileprivate let index: UInt32
    fileprivate let generation: UInt32

    /// Names no timer.
    package static let none = TimerToken(index: .max, generation: 0)
}

/// A hierarchical timer wheel (Varghese and Lauck): scheduling and cancelling are O(1), timers of one tick fire in the
/// order in which they were scheduled.
///
/// Time is a count of ticks from zero; what a tick is, the owner decides. Level L has 64 slots of 64^L ticks each. A
/// timer stands in the level of the highest 6-bit group in which its tick differs from `elapsedTick`, so the lowest
/// occupied level always holds the earliest timer, and a slot of level L is dealt out to lower levels when time
/// reaches its first tick.
struct TimerWheel {
    private static let levelCount = 7
    /// Timers further away than this (2^41 ticks, 69 years of milliseconds) are brought to it.
    static let farthestTicks: UInt64 = 1 << 41

    private struct Entry {
        var next: Int32
        var previous: Int32
        var generation: UInt32
        /// Level * 64 + slot, or -1 for a free entry, which is linked by `next`.
        var list: Int32
        var tick: UInt64
        var work: (() -> Void)?
    }

    private var entries: ContiguousArray<Entry> = []
    private var firstFree: Int32 = -1
    /// Per list its first entry or -1; the lists are rings, so the first one's `previous` is the last.
    private var heads = ContiguousArray<Int32>(repeating: -1, count: levelCount * 64)
    /// Per level one bit a slot that holds a timer.
    private var occupied = ContiguousArray<UInt64>(repeating: 0, count: levelCount)
    private(set) var elapsedTick: UInt64 = 0
    private(set) var count = 0

    /// Schedules `work` for `tick`; a tick that has passed already becomes the next one.
    mutating func schedule(atTick tick: UInt64, _ work: @escaping () -> Void) -> TimerToken {
        let clamped = min(max(tick, elapsedTick &+ 1), elapsedTick &+ Self.farthestTicks)
        let index: Int32
        if firstFree >= 0 {
            index = firstFree
            firstFree = entries[Int(index)].next
            entries[Int(index)].tick = clamped
            entries[Int(index)].work = work
        } else {
            index = Int32(entries.count)
            entries.append(Entry(next: -1, previous: -1, generation: 1, list: -1, tick: clamped, work: work))
        }
        link(index)
        count += 1
        return TimerToken(index: UInt32(index), generation: entries[Int(index)].generation)
    }

    /// Returns false when the token names nothing.
    @discardableResult
    mutating func cancel(_ token: TimerToken) -> Bool {
        guard token.index < UInt32(entries.count) else { return false }
        let index = Int32(token.index)
        guard entries[Int(index)].generation == token.generation, entries[Int(index)].list >= 0 else { return false }
        unlink(index)
        _ = release(index)
        return true
    }

    /// The next timer's work that is due at `tick`, with the timer removed; nil when none is. The owner runs it and
    /// asks again, so work may schedule and cancel freely.
    mutating func popExpired(upTo tick: UInt64) -> (() -> Void)? {
        while let (level, slot, first) = earliestSlot(), first <= tick {
            elapsedTick = max(elapsedTick, first)
            let head = heads[level * 64 + slot]
            if level == 0 {
                unlink(head)
                return release(head)
            }
            cascade(list: level * 64 + slot)
        }
        elapsedTick = max(elapsedTick, tick)
        return nil
    }

    /// A tick not after the earliest timer: its own when it is near, the start of its slot otherwise.
    var nextTick: UInt64? { earliestSlot()?.firstTick }

    mutating func removeAll() {
        entries.removeAll()
        firstFree = -1
        count = 0
        for list in heads.indices { heads[list] = -1 }
        for level in occupied.indices { occupied[level] = 0 }
    }

    // MARK: Lists

    private func earliestSlot() -> (level: Int, slot: Int, firstTick: UInt64)? {
        guard count > 0 else { return nil }
        for level in 0..<Self.levelCount where occupied[level] != 0 {
            let slot = occupied[level].trailingZeroBitCount
            let blockMask = (UInt64(1) << UInt64(6 * (level + 1))) - 1
            return (level, slot, (elapsedTick & ~blockMask) | UInt64(slot) << UInt64(6 * level))
        }
        return nil
    }

    private mutating func link(_ index: Int32) {
        let tick = entries[Int(index)].tick
        let difference = tick ^ elapsedTick
        let level = difference == 0 ? 0 : min((63 - difference.leadingZeroBitCount) / 6, Self.levelCount - 1)
        let slot = Int(tick >> UInt64(6 * level)) & 63
        let list = level * 64 + slot
        entries[Int(index)].list = Int32(list)
        let head = heads[list]
        if head < 0 {
            heads[list] = index
            entries[Int(index)].next = index
            entries[Int(index)].previous = index
            occupied[level] |= 1 << UInt64(slot)
        } else {
            let last = entries[Int(head)].previous
            entries[Int(index)].next = head
            entries[Int(index)].previous = last
            entries[Int(last)].next = index
            entries[Int(head)].previous = index
        }
    }

    private mutating func unlink(_ index: Int32) {
        let entry = (list: Int(entries[Int(index)].list), next: entries[Int(index)].next)
        if entry.next == index {
            heads[entry.list] = -1
            occupied[entry.list / 64] &= ~(1 << UInt64(entry.list % 64))
        } else {
            let previous = entries[Int(index)].previous
            entries[Int(previous)].next = entry.next
            entries[Int(entry.next)].previous = previous
            if heads[entry.list] == index { heads[entry.list] = entry.next }
        }
    }

    /// Moves the timers of a list to lower levels, in their order.
    private mutating func cascade(list: Int) {
        let head = heads[list]
        heads[list] = -1
        occupied[list / 64] &= ~(1 << UInt64(list % 64))
        var index = head
        let last = entries[Int(head)].previous
        while true {
            let next = entries[Int(index)].next
            link(index)
            if index == last { return }
            index = next
        }
    }

    /// Frees an unlinked entry and returns its work.
    private mutating func release(_ index: Int32) -> (() -> Void)? {
        let work = entries[Int(index)].work
        entries[Int(index)].work = nil
        entries[Int(index)].list = -1
        entries[Int(index)].generation &+= 1
        entries[Int(index)].next = firstFree
        firstFree = index
        count -= 1
        return work
    }
}
