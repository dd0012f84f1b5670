import ClusterClient
import EventIO
import Settings

/// The cluster that a step works with: asks it again while it does not answer or is overloaded.
final class StepCluster {
    private let client: ClusterClient
    private let loops: EventLoopGroup
    private let patience: Duration
    private let stop: StepStop

    /// Pauses between attempts: 0.25 s, doubled up to this many seconds.
    private static let longestPause = 10.0

    init(_ settings: StepSettings.Common, stop: StepStop) throws(ClusterError) {
        var cluster = try ClusterSettings(
            url: settings.cluster, authentication: settings.authentication, tls: settings.tls)
        cluster.requestTimeout = settings.requestTimeout
        cluster.connectionLimit = 4
        cluster.userAgent = "millrace"
        do throws(IOError) {
            loops = try EventLoopGroup(count: 1)
        } catch {
            throw ClusterError(.connectionLost, side: cluster.side, disposition: .stop, message: error.message)
        }
        do throws(ClusterError) {
            client = try ClusterClient(cluster, loops: loops)
        } catch {
            loops.stop()
            throw error
        }
        patience = settings.patience
        self.stop = stop
    }

    func close() {
        client.shutdown()
        client.waitUntilClosed(within: .seconds(2))
        loops.stop()
    }

    /// Any answer but those that stand for overload or for credentials that do not fit. Every request of a step may be
    /// sent twice: the steps look at what is there before they give up on an answer.
    func ask(_ request: ClusterRequest) throws(ClusterError) -> ClusterResponse {
        let begin = ContinuousClock.now
        var pause = 0.25
        while true {
            let problem: ClusterError
            do throws(ClusterError) {
                let response = try client.sendAndWait(request)
                guard let found = client.problem(with: response, of: request) else { return response }
                switch found.disposition {
                case .rejectItem: return response
                case .stop: throw found
                case .retry: problem = found
                }
            } catch {
                guard error.disposition == .retry else { throw error }
                problem = error
            }
            if stop.signal != nil || ContinuousClock.now - begin >= patience { throw problem }
            stop.pause(pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }
}
