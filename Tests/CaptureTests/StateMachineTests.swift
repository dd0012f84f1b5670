import CapturedTraffic
import HTTPMessage
import Testing

@testable import Capture

/// A machine that expectations can change.
final class Story {
    var machine = ProxyConnectionStateMachine(
        classifier: RequestClassifier(), scanners: ScannerPool(headBytes: 64 << 10), bodyBytes: 1000)

    func request(_ text: String) -> ProxyConnectionStateMachine.RequestAction {
        Array(text.utf8).withUnsafeBytes { machine.requestBytes($0) }
    }

    func response(_ text: String) -> ProxyConnectionStateMachine.ResponseAction {
        Array(text.utf8).withUnsafeBytes { machine.responseBytes($0) }
    }

    func endExchange() -> Bool { machine.endExchange() }
    func sourceEnded() -> Bool { machine.sourceEnded() }
    func dropGathered(_ count: Int) -> [UInt8] { machine.dropGathered(count) }
}

/// Stories of one connection: bytes in, actions out.
@Suite struct ProxyConnectionStateMachineTests {
    @Test func anExchangeEndsAndTheNextOneBegins() {
        let story = Story()
        for _ in 0..<2 {
            let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            #expect(
                story.request(get) == .forward(count: get.utf8.count, startsRequest: true, isComplete: true))
            #expect(!story.machine.isMutating)
            #expect(story.request(get) == .wait)
            let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            #expect(story.response(ok) == .forward(count: ok.utf8.count, isComplete: true))
            #expect(story.endExchange())
        }
        #expect(story.machine.request == .idle)
        #expect(story.response("x") == .unexpected)
    }

    @Test func aHeadInPiecesIsGatheredAndForwardedWhole() {
        let story = Story()
        #expect(story.request("POST /i/_doc HTTP/1.1\r\nHo") == .gather)
        #expect(story.request("st: a\r\nContent-Length: 3\r\n\r") == .gather)
        #expect(story.request("\nabcGET") == .forwardGathered(count: 56, isComplete: true))
        #expect(story.machine.isMutating)
        #expect(story.dropGathered(56) == Array("GET".utf8))
    }

    @Test func interimResponsesComeBeforeTheFinalOne() {
        let story = Story()
        _ = story.request("PUT /i HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        let go = "HTTP/1.1 100 Continue\r\n\r\n"
        #expect(story.response(go) == .forward(count: go.utf8.count, isComplete: false))
        #expect(!story.machine.hasResponseBegun)
        #expect(story.request("x") == .forward(count: 1, startsRequest: false, isComplete: true))
        #expect(story.response(go + "HTTP/1.1 2") == .forward(count: go.utf8.count, isComplete: false))
        #expect(story.response("04 N\r\n\r\n") == .forwardGathered(count: 18, isComplete: true))
        #expect(story.endExchange())
    }

    @Test func aResponseToHeadHasNoBody() {
        let story = Story()
        _ = story.request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"
        #expect(story.response(head) == .forward(count: head.utf8.count, isComplete: true))
    }

    @Test func aResponseUntilCloseEndsWithTheConnection() {
        let story = Story()
        _ = story.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(story.response("HTTP/1.1 200 OK\r\n\r\nabc") == .forward(count: 22, isComplete: false))
        #expect(story.sourceEnded())
        #expect(story.endExchange())
        #expect(story.machine.request == .ended)
    }

    @Test func aTruncatedResponseIsNotWhole() {
        let story = Story()
        _ = story.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = story.response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        #expect(!story.sourceEnded())
    }

    @Test func aChangeOfProtocolMakesATunnel() {
        let story = Story()
        _ = story.request("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        let switching = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        #expect(
            story.response(switching + "raw") == .upgrade(count: switching.utf8.count, isGathered: false))
        #expect(story.request("anything") == .tunnel)
        #expect(story.response("anything") == .tunnel)
    }

    @Test func theConnectionEndsWhenEitherSideSaysSo() {
        for (ask, answer) in [
            ("Connection: close\r\n", ""), ("", "Connection: close\r\n"),
        ] {
            let story = Story()
            _ = story.request("GET / HTTP/1.1\r\nHost: a\r\n\(ask)\r\n")
            _ = story.response("HTTP/1.1 204 N\r\n\(answer)\r\n")
            #expect(story.endExchange())
            #expect(story.machine.request == .ended)
            #expect(story.request("GET") == .discard)
        }
    }

    @Test func aBodyOverTheLimitIsRefused() {
        let story = Story()
        #expect(story.request("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n") == .refuse)
        #expect(story.machine.refusal?.status == 413)
        story.machine = Story().machine
        _ = story.request("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        #expect(story.request("3E9\r\n" + String(repeating: "x", count: 1001)) == .refuse)
        #expect(story.machine.refusal?.status == 413)
    }

    /// Wherever a stream of requests is cut, the same bytes are forwarded for the same requests.
    @Test func cutsDoNotMatter() {
        let requests = [
            "POST /i/_doc HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT /i HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
        ]
        let stream = Array(requests.joined().utf8)
        for cut in 1..<stream.count {
            let story = Story()
            var found: [String] = []
            var current: [UInt8] = []
            var waiting = [UInt8]()
            for piece in [stream[..<cut], stream[cut...]] {
                waiting += piece
                while !waiting.isEmpty {
                    let input = waiting
                    waiting = []
                    var isComplete = false
                    switch input.withUnsafeBytes({ story.machine.requestBytes($0) }) {
                    case .gather: break
                    case .forward(let count, _, let isWhole):
                        current += input[..<count]
                        waiting = [UInt8](input[count...])
                        isComplete = isWhole
                    case .forwardGathered(let count, let isWhole):
                        current += story.machine.gathered[..<count]
                        waiting = story.machine.dropGathered(count)
                        isComplete = isWhole
                    default: Issue.record("cut at \(cut)")
                    }
                    if isComplete {
                        found.append(String(decoding: current, as: UTF8.self))
                        current = []
                        _ = story.response("HTTP/1.1 204 N\r\n\r\n")
                        #expect(story.endExchange())
                    }
                }
            }
            #expect(found == requests, "cut at \(cut)")
        }
    }
}
