import ClusterClient
import EventIO
import Settings

/// The way to the target, open and identified, or nothing for `null:`.
final class TargetConnection {
    let transport: (any BulkTransport)?
    let identity: ClusterIdentity?
    private let client: ClusterClient?
    private let loops: EventLoopGroup?

    init(_ settings: BackfillSettings) throws(RunStop) {
        guard let cluster = try Self.clusterSettings(settings) else {
            transport = nil
            identity = nil
            client = nil
            loops = nil
            return
        }
        do {
            let loops = try EventLoopGroup(count: 1)
            let client = try ClusterClient(cluster, loops: loops)
            do {
                identity = try client.identify()
            } catch {
                client.shutdown()
                loops.stop()
                throw error
            }
            self.loops = loops
            self.client = client
            transport = ClusterBulkTransport(client: client)
        } catch let error as ClusterError {
            throw RunStop(code: .unavailable, message: error.message)
        } catch let error as IOError {
            throw RunStop(code: .unavailable, message: error.message)
        } catch {
            throw RunStop(code: .ourFault, message: "\(error)")
        }
    }

    func close() {
        client?.shutdown()
        loops?.stop()
    }

    private static func clusterSettings(_ settings: BackfillSettings) throws(RunStop) -> ClusterSettings? {
        guard case .cluster(let url) = settings.target else { return nil }
        do throws(ClusterError) {
            var cluster = try ClusterSettings(
                url: url, authentication: settings.authentication, tls: settings.tls)
            cluster.isCompressed = settings.isCompressed
            cluster.connectionLimit = settings.limits.connectionLimit
            cluster.requestTimeout = settings.limits.requestTimeout
            cluster.userAgent = "millraced"
            return cluster
        } catch {
            throw RunStop(code: .unavailable, message: error.message)
        }
    }
}

extension BackfillSettings.Target {
    /// For messages and as the target's name in the coordinator.
    var text: String {
        switch self {
        case .cluster(let url): url.description
        case .null: "null:"
        }
    }
}
