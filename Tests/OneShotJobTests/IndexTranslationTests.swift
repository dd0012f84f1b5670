import JSONBytes
import Testing

@testable import Metadata

@Suite struct IndexTranslationTests {
    private func translate(
        settings: String = "{}", mappings: String = "{}", aliases: String = "{}", replicas: Int? = nil
    ) throws -> TargetIndex {
        try IndexTranslationPolicy.translate(
            name: "orders", settings: json(settings), mappings: json(mappings), aliases: json(aliases),
            replicas: replicas)
    }

    private func settings(_ index: TargetIndex) -> [String: String] {
        var found: [String: String] = [:]
        for member in index.body["settings"]?["index"]?.objectValue ?? [] {
            found[member.key] = member.value.stringValue ?? ""
        }
        return found
    }

    @Test func settingsThatTheSourceGaveItselfStayBehindAndAreTold() throws {
        let index = try translate(
            settings: """
                {"index.number_of_shards":"3","index.number_of_replicas":"1","index.uuid":"u","index.creation_date":"1",
                 "index.provided_name":"orders","index.version.created":"7100299","index.blocks.write":"true",
                 "index.lifecycle.name":"policy","index.routing.allocation.include._tier_preference":"data_hot",
                 "index.refresh_interval":"5s","index.analysis.analyzer.a.type":"standard"}
                """)
        #expect(
            settings(index) == [
                "number_of_shards": "3", "number_of_replicas": "1", "refresh_interval": "5s",
                "analysis.analyzer.a.type": "standard",
            ])
        #expect(
            index.changes.map(\.place) == [
                "settings.index.uuid", "settings.index.creation_date", "settings.index.provided_name",
                "settings.index.version.created", "settings.index.blocks.write", "settings.index.lifecycle.name",
                "settings.index.routing.allocation.include._tier_preference",
            ])
        let kinds: [MetadataChange.Kind] = [.renewed, .renewed, .renewed, .renewed, .dropped, .dropped, .dropped]
        #expect(index.changes.map(\.kind) == kinds)
        #expect(index.changes.allSatisfy { !$0.reason.isEmpty })
        #expect(index.shardCount == 3)
    }

    @Test func nestedSettingsAreTheSameAsFlatOnes() throws {
        let flat = try translate(settings: #"{"index.number_of_shards":"2","index.mapping.total_fields.limit":"9"}"#)
        let nested = try translate(
            settings: #"{"index":{"number_of_shards":"2","mapping":{"total_fields":{"limit":"9"}}}}"#)
        #expect(flat.body == nested.body)
    }

    @Test func aSettingWhoseNameBeginsLikeADroppedOneIsKept() throws {
        let index = try translate(settings: #"{"index.number_of_shards":"1","index.uuid_mode":"x","index.modes":"y"}"#)
        #expect(settings(index)["uuid_mode"] == "x")
        #expect(settings(index)["modes"] == "y")
        #expect(index.changes.isEmpty)
    }

    @Test func theTypeIsTakenOffTheMapping() throws {
        let index = try translate(
            mappings:
                #"{"_default_":{"dynamic":true},"order":{"_all":{"enabled":false},"properties":{"a":{"type":"date"}}}}"#
        )
        #expect(index.body["mappings"] == (try json(#"{"properties":{"a":{"type":"date"}}}"#)))
        #expect(index.changes.map(\.place) == ["mappings._default_", "mappings.order", "mappings._all"])
    }

    @Test func severalTypesAreAnErrorThatNamesThem() throws {
        #expect(throws: TranslationProblem.self) {
            try translate(mappings: #"{"b":{"properties":{}},"a":{"properties":{}}}"#)
        }
    }

    @Test func replicasThatWereAskedForTakeThePlaceOfTheSources() throws {
        let index = try translate(
            settings: #"{"index.number_of_shards":"1","index.number_of_replicas":"2"}"#, replicas: 0)
        #expect(settings(index)["number_of_replicas"] == "0")
        #expect(index.changes.map(\.kind) == [.changed])
    }

    @Test func aliasesComeAlongAsTheyAre() throws {
        let text = #"{"recent":{"filter":{"term":{"a":1}},"is_write_index":true}}"#
        #expect(try translate(aliases: text).body["aliases"] == json(text))
    }
}

@Suite struct CreationRepairTests {
    private func index() throws -> TargetIndex {
        TargetIndex(
            name: "orders",
            body: try json(
                """
                {"settings":{"index":{"number_of_shards":"1","x.y":"1","z":"2"}},
                 "mappings":{"properties":{"a":{"type":"text","doc_values":true,"fields":{"a":{"type":"keyword",
                 "doc_values":true}}},"o":{"properties":{"a":{"type":"text","doc_values":true}}}}},"aliases":{}}
                """), changes: [])
    }

    @Test(arguments: [
        "unknown setting [index.x.y] please check that any required plugins are installed",
        "private index setting [index.x.y] can not be set explicitly",
    ])
    func aSettingThatTheTargetNamesIsTakenOut(reason: String) throws {
        let answer = try json(#"{"error":{"root_cause":[{"type":"e","reason":"\#(reason)"}],"reason":"\#(reason)"}}"#)
        let repaired = try #require(CreationRepairPolicy.repaired(index(), after: answer))
        #expect(repaired.body["settings"]?["index"] == (try json(#"{"number_of_shards":"1","z":"2"}"#)))
        #expect(repaired.changes.map(\.place) == ["settings.index.x.y"])
    }

    @Test func severalSettingsOfOneAnswerAreAllTakenOut() throws {
        let answer = try json(
            """
            {"error":{"reason":"a","suppressed":[{"reason":"unknown setting [index.z] did you mean [index.q]?"}],
             "root_cause":[{"reason":"unknown setting [index.x.y]"}]}}
            """)
        let first = try #require(CreationRepairPolicy.repaired(index(), after: answer))
        let second = try #require(CreationRepairPolicy.repaired(first, after: answer))
        #expect(second.body["settings"]?["index"] == (try json(#"{"number_of_shards":"1"}"#)))
        #expect(CreationRepairPolicy.repaired(second, after: answer) == nil)
    }

    @Test func aParameterIsTakenOffEveryFieldOfThatNameAndType() throws {
        let reason = "Failed to parse mapping: unknown parameter [doc_values] on mapper [a] of type [text]"
        let repaired = try #require(
            CreationRepairPolicy.repaired(index(), after: json(#"{"error":{"reason":"\#(reason)"}}"#)))
        #expect(
            repaired.changes.map(\.place)
                == ["mappings.properties.a.doc_values", "mappings.properties.o.properties.a.doc_values"])
        #expect(repaired.body["mappings"]?["properties"]?["a"]?["fields"]?["a"]?["doc_values"] == .bool(true))
    }

    @Test func anAnswerThatNamesNothingOfTheBodyRepairsNothing() throws {
        for reason in ["unknown setting [index.other]", "mapper_parsing_exception", ""] {
            #expect(
                CreationRepairPolicy.repaired(try index(), after: try json(#"{"error":{"reason":"\#(reason)"}}"#))
                    == nil)
        }
    }
}
