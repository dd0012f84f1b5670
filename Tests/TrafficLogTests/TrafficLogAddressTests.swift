import TestSupport
import Testing

@testable import TrafficLog

@Suite struct TrafficLogAddressTests {
    @Test func readsBrokersTopicAndSettings() throws {
        let address = try TrafficLogAddress.parse(
            "kafka://b1:9092,b2,[::1]:9094/captured?linger.ms=2&sasl.password=a%26b")
        #expect(
            address
                == .kafka(
                    brokers: ["b1:9092", "b2:9092", "[::1]:9094"], topic: "captured",
                    properties: [.init(name: "linger.ms", value: "2"), .init(name: "sasl.password", value: "a&b")]))
        #expect(address.location == "kafka://b1:9092,b2:9092,[::1]:9094/captured")
    }

    @Test func readsFoldersAndMocks() throws {
        #expect(try TrafficLogAddress.parse("file:///var/log%20x/") == .file(path: "/var/log x"))
        #expect(try TrafficLogAddress.parse("file://localhost/a") == .file(path: "/a"))
        #expect(try TrafficLogAddress.parse("file:///a%3Fb?group=g-1.x") == .file(path: "/a?b", group: "g-1.x"))
        #expect(try TrafficLogAddress.parse("archive:///a/b.gz") == .archive(path: "/a/b.gz"))
        #expect(try TrafficLogAddress.parse("archive:/a?group=g") == .archive(path: "/a", group: "g"))
        #expect(try TrafficLogAddress.parse("mock:") == .mock(topic: "traffic"))
        #expect(try TrafficLogAddress.parse("mock:other") == .mock(topic: "other"))
    }

    @Test func takesTheGroupOutOfTheSettings() throws {
        let address = try TrafficLogAddress.parse("kafka://b1/t?session.timeout.ms=9000&group=re%20play:1")
        #expect(
            address
                == .kafka(
                    brokers: ["b1:9092"], topic: "t", group: "re play:1",
                    properties: [.init(name: "session.timeout.ms", value: "9000")]))
        #expect(address.group == "re play:1" && address.location == "kafka://b1:9092/t")
    }

    @Test(arguments: [
        ("file:///a?groups=g", "the only setting is ?group=NAME"), ("file:///a?group=a/b", "letters, digits, dots"),
        ("file:///a?group=", "letters, digits, dots"), ("file:///a?group=a&group=b", "named twice"),
        ("file:///a?", "nothing follows"), ("archive:a.gz", "absolute path"), ("kafka://b/t?group=", "1 to 255 bytes"),
        ("kafka://b/t?group=a&group=b", "named twice"), ("kafka://b/t?group.id=a", "not by group.id"),
    ])
    func saysWhatIsWrongWithAGroup(text: String, reason: String) {
        #expect {
            try TrafficLogAddress.parse(text)
        } throws: { error in
            guard let error = error as? TrafficLogError else { return false }
            return error.code == .invalidSetting && error.message.contains(reason)
        }
    }

    @Test(arguments: [
        "", "captured", "kafka://", "kafka://b1", "kafka://b1/", "kafka:///t", "kafka://b1,/t", "kafka://b1:0/t",
        "kafka://b1:65536/t", "kafka://b1:+9/t", "kafka://a:b:c/t", "kafka://[::1]x/t", "kafka://b 1/t",
        "kafka://b1/t/u",
        "kafka://b1/..", "kafka://b1/t?x", "kafka://b1/t?=1", "kafka://b1/t?a=%2", "file://host/a", "file:a",
        "file:///",
        "file:///a%00b", "mock:a/b", "kafka://user:hunter2@b1/t", "kafka://b1/t?sasl.password",
    ])
    func refusesWhatIsNoAddress(text: String) {
        #expect {
            try TrafficLogAddress.parse(text)
        } throws: { error in
            guard let error = error as? TrafficLogError else { return false }
            return error.code == .invalidSetting && !error.message.contains("hunter2")
        }
    }
}

@Suite struct TrafficLogOpeningTests {
    @Test(arguments: [
        ("file:///nowhere?group=g", "?group= is for readers"), ("archive:///nowhere", "an archive is only read"),
    ])
    func writersTakeNoGroupAndNoArchive(text: String, reason: String) {
        #expect {
            try TrafficLogAddress.parse(text).openWriter()
        } throws: { ($0 as? TrafficLogError)?.message.contains(reason) == true }
    }

    @Test func kafkaIsReadByAGroupOnly() {
        #expect {
            try TrafficLogAddress.parse("kafka://b/t").openGroupReader()
        } throws: { ($0 as? TrafficLogError)?.message.contains("kafka://b:9092/t?group=NAME") == true }
    }

    @Test func everyKindOfAddressOpens() throws {
        let folder = try TemporaryFolder()
        for text in ["file://\(folder.path)/log", "mock:", "mock:other"] {
            let log = try TrafficLogAddress.parse(text).openWriter()
            let sink = CollectingSink()
            try log.append(RecordSegment(1, "value"), key: ConnectionKey("key"), sink: sink)
            #expect(log.flush(within: .seconds(60)))
            #expect(sink.durableTokens == [1])
            log.close()
        }
        let reader = try TrafficLogAddress.parse("file://\(folder.path)/log").openReader()
        #expect(try reader.readAll() == [PlainRecord(key: "key", value: Array("value".utf8), offset: 0)])
    }
}
