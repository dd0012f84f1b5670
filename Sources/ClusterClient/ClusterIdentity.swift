/// What answers at an address: the engine, its version and whether it is a managed collection without nodes.
package struct ClusterIdentity: Sendable, Equatable {
    /// The engine and how it is offered.
    package enum Flavour: String, Sendable {
        case elasticsearch, opensearch
        /// Elastic's serverless projects: Elasticsearch without nodes, shards or cluster settings.
        case elasticsearchServerless = "elasticsearch-serverless"
        /// Amazon OpenSearch Serverless: a collection; it has no root document.
        case opensearchServerless = "opensearch-serverless"
        /// It answers like one of these, but names another distribution.
        case unknown
    }

    /// Numbers only: qualifiers such as `-SNAPSHOT` are dropped.
    package struct Version: Sendable, Equatable, Comparable, CustomStringConvertible {
        package var major: Int
        package var minor: Int
        package var patch: Int

        package init(_ major: Int, _ minor: Int, _ patch: Int) {
            self.major = major
            self.minor = minor
            self.patch = patch
        }

        /// `7.10.2`, `3.0.0-beta1`, `2.19.4-SNAPSHOT`, `8.15`. nil when it does not begin with a number.
        package init?(_ text: String) {
            let numbers = text.utf8.prefix { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
                .split(separator: UInt8(ascii: ".")).prefix(3).map { Int(String(decoding: $0, as: UTF8.self)) }
            guard let major = numbers.first, let major, major < 1000 else { return nil }
            self.init(
                major, numbers.count > 1 ? numbers[1] ?? 0 : 0, numbers.count > 2 ? numbers[2] ?? 0 : 0)
        }

        package static func < (left: Version, right: Version) -> Bool {
            (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
        }

        package var description: String { "\(major).\(minor).\(patch)" }
    }

    package var flavour: Flavour
    package var version: Version
    /// nil before Elasticsearch 5 and for serverless collections.
    package var clusterUUID: String?
    /// `cluster_name`.
    package var name: String?
    /// What a person should know about how this was found out, one sentence each.
    package var notes: [String]

    package init(
        flavour: Flavour, version: Version, clusterUUID: String? = nil, name: String? = nil, notes: [String] = []
    ) {
        self.flavour = flavour
        self.version = version
        self.clusterUUID = clusterUUID
        self.name = name
        self.notes = notes
    }

    package var isServerless: Bool { flavour == .elasticsearchServerless || flavour == .opensearchServerless }
}
