/// Something whose descriptor is registered with a loop's epoll instance.
package class PollTarget {
    /// The slot in the loop's `PollTable`, or -1.
    final var slot: Int32 = -1

    /// Called on the loop with the epoll event mask.
    func ready(_ mask: UInt32) {}

    /// Called on the loop when it stops.
    func loopStopped() {}
}

/// The targets of a loop by slot. An event carries slot and generation, so an event that was fetched in the same batch
/// in which its target closed finds another generation and is dropped.
struct PollTable {
    private struct Slot {
        var target: PollTarget?
        var generation: UInt32
    }

    private var slots: ContiguousArray<Slot> = []
    private var free: ContiguousArray<Int32> = []

    var count: Int { slots.count - free.count }

    /// Stores the target and returns the token for its events.
    mutating func insert(_ target: PollTarget) -> UInt64 {
        let index: Int32
        if let recycled = free.popLast() {
            index = recycled
            slots[Int(index)].target = target
        } else {
            index = Int32(slots.count)
            slots.append(Slot(target: target, generation: 0))
        }
        target.slot = index
        return token(of: target)
    }

    func token(of target: PollTarget) -> UInt64 {
        UInt64(slots[Int(target.slot)].generation) << 32 | UInt64(UInt32(bitPattern: target.slot))
    }

    mutating func remove(_ target: PollTarget) {
        let index = Int(target.slot)
        precondition(index >= 0 && slots[index].target === target, "slot \(index) is not the target's")
        slots[index].target = nil
        slots[index].generation &+= 1
        free.append(target.slot)
        target.slot = -1
    }

    /// The target of an event, or nil when it was closed since the event arose.
    func target(of token: UInt64) -> PollTarget? {
        let index = Int(token & 0xFFFF_FFFF)
        guard index < slots.count, slots[index].generation == UInt32(token >> 32) else { return nil }
        return slots[index].target
    }

    /// Every registered target, at the time of the call.
    var all: [PollTarget] { slots.compactMap(\.target) }
}
