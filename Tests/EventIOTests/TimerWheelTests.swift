import TestSupport
import Testing

@testable import EventIO

@Suite struct TimerWheelTests {
    /// Against a sorted list: random delays over every level, cancels, and jumps of time.
    @Test(arguments: 1...20) func firesLikeASortedList(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var wheel = TimerWheel()
        var model: [(tick: UInt64, order: Int, token: TimerToken)] = []
        var fired: [Int] = []
        var now: UInt64 = 0
        var order = 0
        for _ in 0..<3000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                let span = UInt64(1) << UInt64.random(in: 0...30, using: &generator)
                let tick = now + UInt64.random(in: 1...span, using: &generator)
                let number = order
                order += 1
                let token = wheel.schedule(atTick: tick) { fired.append(number) }
                model.append((tick, number, token))
            case 5..<7:
                guard let index = model.indices.randomElement(using: &generator) else { continue }
                let entry = model.remove(at: index)
                let cancels = [wheel.cancel(entry.token), wheel.cancel(entry.token)]
                #expect(cancels == [true, false])
            default:
                now += UInt64(1) << UInt64.random(in: 0...28, using: &generator)
                if let next = wheel.nextTick, let earliest = model.map(\.tick).min() { #expect(next <= earliest) }
                let due = model.filter { $0.tick <= now }.sorted { ($0.tick, $0.order) < ($1.tick, $1.order) }
                model.removeAll { $0.tick <= now }
                fired = []
                while let work = wheel.popExpired(upTo: now) { work() }
                #expect(fired == due.map(\.order))
                let lateCancels = due.filter { wheel.cancel($0.token) }
                #expect(lateCancels.isEmpty)
            }
            #expect(wheel.count == model.count)
            #expect((wheel.nextTick == nil) == model.isEmpty)
        }
    }

    @Test func aPassedTickBecomesTheNextOne() {
        var wheel = TimerWheel()
        var isDue = wheel.popExpired(upTo: 100) != nil
        #expect(!isDue)
        _ = wheel.schedule(atTick: 7) {}
        #expect(wheel.nextTick == 101)
        isDue = wheel.popExpired(upTo: 100) != nil
        #expect(!isDue)
        isDue = wheel.popExpired(upTo: 101) != nil
        #expect(isDue)
    }

    @Test func farTimersAreBroughtNearer() {
        var wheel = TimerWheel()
        let token = wheel.schedule(atTick: .max) {}
        #expect(wheel.nextTick.map { $0 <= TimerWheel.farthestTicks } == true)
        let cancels = [wheel.cancel(token), wheel.cancel(.none)]
        #expect(cancels == [true, false])
    }
}
