import JSONBytes

/// Reads a cluster's identity out of its answers; asks nothing itself.
///
///     GET /  →  known | nodes have to be asked | no root document, perhaps a serverless collection | something else
enum IdentityPolicy {
    enum Finding: Equatable {
        case known(ClusterIdentity)
        /// Says 7.10.2, which OpenSearch does too under `compatibility.override_main_response_version`. Holds what to
        /// believe when the nodes do not tell.
        case versionInDoubt(ClusterIdentity)
        /// 404 on `/`: Amazon's serverless collections have no root document.
        case noRootDocument
        /// Not an answer of a cluster; says what came instead.
        case notACluster(String)
        /// The status speaks for itself.
        case refused
    }

    static func read(root response: ClusterResponse) -> Finding {
        switch response.status {
        case 200: break
        case 404:
            return looksLikeHTML(response.body) ? .notACluster("it answered 404 with a web page") : .noRootDocument
        default:
            let isKnownStatus = [401, 403, 408, 429].contains(response.status) || response.status >= 500
            if isKnownStatus || (300..<400).contains(response.status) { return .refused }
            return .notACluster("it answered GET / with status \(response.status)")
        }
        if response.body.isEmpty { return .notACluster("its answer to GET / is empty") }
        if looksLikeHTML(response.body) { return .notACluster("it answered GET / with a web page") }
        guard let root = try? JSONValue.parse(response.body) else {
            return .notACluster("its answer to GET / is not JSON")
        }
        guard let number = root["version"]?["number"]?.stringValue, let version = ClusterIdentity.Version(number) else {
            return .notACluster("its answer to GET / has no version.number")
        }
        return identity(root, version: version)
    }

    private static func identity(_ root: JSONValue, version: ClusterIdentity.Version) -> Finding {
        let isOpenSearchTagline = root["tagline"]?.stringValue?.contains("OpenSearch") ?? false
        let buildFlavor = root["version"]?["build_flavor"]?.stringValue
        var identity = ClusterIdentity(
            flavour: .elasticsearch, version: version, clusterUUID: root["cluster_uuid"]?.stringValue,
            name: root["cluster_name"]?.stringValue)
        if let distribution = root["version"]?["distribution"]?.stringValue {
            identity.flavour = distribution == "opensearch" ? .opensearch : .unknown
            if identity.flavour == .unknown {
                identity.notes.append(
                    "the distribution \"\(StatusPolicy.oneLine(distribution, limit: 60))\" is not known"
                )
            }
        } else if buildFlavor == "serverless" {
            identity.flavour = .elasticsearchServerless
        } else if isOpenSearchTagline {
            // OpenSearch leaves the distribution out while it claims another version.
            identity.flavour = .opensearch
            identity.version = .init(1, 0, 0)
            identity.notes.append(hiddenVersionNote)
            return .versionInDoubt(identity)
        } else if version == .init(7, 10, 2), buildFlavor == nil {
            return .versionInDoubt(identity)
        }
        addRangeNote(&identity)
        return .known(identity)
    }

    /// Corrects a doubtful identity by `GET /_nodes/_all/http?filter_path=nodes.*.version`; the lowest version counts.
    static func resolve(_ doubtful: ClusterIdentity, nodes response: ClusterResponse) -> ClusterIdentity {
        var identity = doubtful
        guard response.status == 200, let value = try? JSONValue.parse(response.body),
            case .object(let nodes)? = value["nodes"]
        else { return identity }
        let versions = nodes.compactMap { $0.value["version"]?.stringValue }
            .compactMap { ClusterIdentity.Version($0) }
        guard let lowest = versions.min(), let highest = versions.max() else { return identity }
        identity.notes.removeAll { $0 == hiddenVersionNote }
        identity.version = lowest
        if lowest.major < 7 {
            identity.flavour = .opensearch
            identity.notes.append(
                "compatibility.override_main_response_version is set: the cluster calls itself 7.10.2, its nodes are "
                    + "OpenSearch \(lowest)")
        }
        if lowest != highest {
            identity.notes.append("nodes of versions \(lowest) to \(highest); the lowest counts")
        }
        addRangeNote(&identity)
        return identity
    }

    /// Decides after a 404 on `/` by the answer to `GET /_cat/indices?format=json`, which collections do have.
    static func confirmServerless(_ response: ClusterResponse) -> Finding {
        if response.status == 200, let value = try? JSONValue.parse(response.body), value.arrayValue != nil {
            return .known(serverlessCollection)
        }
        if [401, 403, 408, 429].contains(response.status) || response.status >= 500 { return .refused }
        return .notACluster("it answered 404 to GET /; check the address and its path")
    }

    /// Amazon's collections do not tell a version; they follow OpenSearch 2.
    static var serverlessCollection: ClusterIdentity {
        ClusterIdentity(
            flavour: .opensearchServerless, version: .init(2, 0, 0),
            notes: ["an OpenSearch Serverless collection: it has no root document, version 2 is assumed"])
    }

    private static let hiddenVersionNote =
        "compatibility.override_main_response_version is set and the nodes' version could not be read: OpenSearch 1.0 "
        + "is assumed"

    private static func addRangeNote(_ identity: inout ClusterIdentity) {
        let known: ClosedRange<Int>
        switch identity.flavour {
        case .elasticsearch: known = 1...9
        case .opensearch: known = 1...3
        case .elasticsearchServerless, .opensearchServerless, .unknown: return
        }
        if !known.contains(identity.version.major) {
            identity.notes.append(
                "version \(identity.version) of \(identity.flavour.rawValue) was never tried; \(known.lowerBound) to "
                    + "\(known.upperBound) were")
        }
    }

    private static func looksLikeHTML(_ body: [UInt8]) -> Bool {
        body.first { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 } == UInt8(ascii: "<")
    }
}
