import Glibc
import JSONBytes
import Synchronization
import TestSupport
import Testing

@testable import TrafficLog

/// A real broker whose listener at MILLRACE_KAFKA_OAUTH takes unsecured tokens (RFC 7515, `alg` none), as in
/// `../shared/services/kafka/start.sh --sasl` with
///
///     --property 'listener.name.sasl_plaintext.sasl.enabled.mechanisms=OAUTHBEARER'
///     --property 'listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.
///         oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
///     --property 'listener.name.sasl_plaintext.oauthbearer.connections.max.reauth.ms=3600000'
@Suite(.serialized, .enabled(if: getenv("MILLRACE_KAFKA_OAUTH") != nil, "needs MILLRACE_KAFKA_OAUTH"))
struct KafkaTokenServiceTests {
    private static func token(lifetimeSeconds: Int64) -> KafkaToken {
        let now = MonotonicClock.wallMilliseconds
        let end = now + lifetimeSeconds * 1000
        let header = Base64.encodeForURL(Array(#"{"alg":"none"}"#.utf8))
        let claims = Base64.encodeForURL(
            Array(#"{"sub":"millrace","iat":\#(now / 1000),"exp":\#(end / 1000)}"#.utf8))
        return KafkaToken(value: "\(header).\(claims).", expiresMilliseconds: end, principal: "millrace")
    }

    private static func settings(_ login: KafkaLogSettings.Login) throws -> KafkaLogSettings {
        let broker = String(cString: try #require(getenv("MILLRACE_KAFKA_OAUTH")))
        var settings = KafkaLogSettings(brokers: [broker], topic: "o\(MonotonicClock.nanoseconds)-\(getpid())")
        settings.topicCreation = .init(partitionCount: 2)
        settings.login = login
        return settings
    }

    /// The broker ends connections whose token has ended, so records that go on for several lives of a token prove that
    /// it was renewed in time.
    @Test func tokensAreRenewedBeforeTheyEnd() throws {
        let askedCount = Atomic<Int>(0)
        let settings = try Self.settings(
            .oauthBearer { () throws(TrafficLogError) in
                askedCount.add(1, ordering: .relaxed)
                return Self.token(lifetimeSeconds: 5)
            })
        let log = try KafkaTrafficLog(settings)
        defer { log.close() }
        let outages = Atomic<Int>(0)
        log.observeState { if !$0.isHealthy { outages.add(1, ordering: .relaxed) } }
        let sink = CollectingSink()
        // One for the look at the topic, then one every four seconds.
        var number: UInt64 = 0
        while askedCount.load(ordering: .relaxed) < 5 {
            try log.append(RecordSegment(number, "\(number)"), key: ConnectionKey("c"), sink: sink)
            number += 1
            #expect(log.flush(within: .seconds(5)))
            poll(nil, 0, 20)
        }
        #expect(sink.durableTokens == Array(0..<number))
        #expect(outages.load(ordering: .relaxed) == 0)
        let records = try KafkaTrafficLogReader(settings).readAll()
        #expect(records.count == Int(number))
    }

    @Test func aProviderThatFailsIsNamedAtTheStart() throws {
        var settings = try Self.settings(
            .oauthBearer { () throws(TrafficLogError) in
                throw TrafficLogError(.authentication, "the AWS credentials ended at 20240229T235958Z")
            })
        settings.startTimeout = .seconds(10)
        #expect {
            try KafkaTrafficLog(settings)
        } throws: { error in
            guard let error = error as? TrafficLogError else { return false }
            return error.code == .authentication && error.message.contains("20240229T235958Z")
        }
    }
}
