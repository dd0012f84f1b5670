import Testing

@testable import Settings

@Suite struct CaptureSettingsTests {
    private func load(_ arguments: String, files: [String: String] = [:]) throws -> CaptureSettings {
        let request = try CaptureSettings.load(
            arguments: arguments.split(separator: " ").map(String.init), environment: { _ in nil }, processorCount: 3,
            readFile: { path in
                files[path].map { .success(Array($0.utf8)) } ?? .failure(ValueProblem("no file \(path)"))
            })
        guard case .run(let settings) = request else { throw ValueProblem("no run") }
        return settings
    }

    private let least = "--listen :9201 --source http://es:9200 --log none"

    @Test func theLeastThatIsNeeded() throws {
        let settings = try load(least)
        #expect(settings.listenAddress == HostAndPort(host: "", port: 9201))
        #expect(settings.source.port == 9200)
        #expect(settings.limits.workerCount == 3)
        #expect(settings.outagePolicy == .refuse)
        #expect(settings.warnings.count == 1)
    }

    @Test func everyMistakeIsNamedAtOnce() throws {
        let error = #expect(throws: SettingsError.self) {
            try load(
                "--source http://es:9200/path --log ftp://x --spool /s --tls-key k --client-certificates required "
                    + "--set-header Content-Length=1 --suppress-path ( --in-flight-budget 1MiB --flush-after 1ms")
        }
        let settings = Set((error?.problems ?? []).compactMap(\.setting))
        #expect(
            settings.isSuperset(of: [
                "--listen", "--source", "--log", "--client-certificates", "--set-header", "--suppress-path",
                "--flush-after",
            ]))
        #expect((error?.problems ?? []).filter { $0.setting == nil }.count == 2)
    }

    @Test func secretsAreNotDescribed() throws {
        let settings = try load(
            "--listen :1 --source https://es --log kafka://k/t?sasl.password=geheim --kafka-property sasl.password=geheim "
                + "--set-header Authorization=geheim --kafka-property-file f",
            files: ["f": "# secrets\nsasl.username=u\nssl.key.password=a=b\n"])
        #expect(settings.log.kafkaProperties.map(\.name) == ["sasl.username", "ssl.key.password", "sasl.password"])
        #expect(settings.log.kafkaProperties[1].value.revealed == "a=b")
        #expect(!settings.describe().contains { $0.value.contains("geheim") })
        #expect(settings.setHeaders == [.init(name: "Authorization", value: "geheim")])
    }

    @Test func iamAccessToKafkaNeedsARegionAndABroker() throws {
        let log = "--listen :1 --source http://es --log kafka://k/t"
        #expect(try load(log).log.kafkaAuthentication == .byProperties)
        #expect(
            try load("\(log) --kafka-auth msk-iam --kafka-aws-region eu-west-1").log.kafkaAuthentication
                == .mskIAM(region: "eu-west-1"))
        for wrong in ["--kafka-auth msk-iam", "--kafka-aws-region eu-west-1", "--kafka-auth iam"] {
            #expect(throws: SettingsError.self, "\(wrong)") { try load("\(log) \(wrong)") }
        }
    }

    @Test func contradictionsAreRefused() throws {
        for wrong in [
            "--log-outage spool", "--spool /s",
            "--source-certificate c", "--source-ca c --insecure", "--client-ca x", "--kafka-property a=b",
            "--redact-header a:b",
        ] {
            #expect(throws: SettingsError.self, "\(wrong)") { try load("\(least) \(wrong)") }
        }
    }
}

@Suite struct CaptureUsageTests {
    @Test func theReferencePageIsCurrent() throws {
        try UsageGolden.check(CaptureUsage.markdown, "Sources/Capture/Capture.docc/Flags.md")
    }
}
