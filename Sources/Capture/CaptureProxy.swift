import CapturedTraffic
import Dispatch
import EventIO
import Settings
import Synchronization
import Telemetry
import TrafficLog

/// The capture flow: passes a client's requests on to the source and records them, a writing request only when its
/// record is durable.
///
/// | stage | file | in | out |
/// |---|---|---|---|
/// | accept | this one, EventIO's `Listener` | socket | client connection |
/// | framing | `ProxyConnectionStateMachine` | received bytes | parts of requests and responses |
/// | rules | `RequestRules` | a request's head | recorded or not, redacted, rewritten |
/// | record | `ConnectionRecorder`, `SegmentPool` | received bytes, where they landed | records |
/// | log | TrafficLog | record | durable, or lost |
/// | hold | `ProxyConnection+Holding` | parts of a request, acknowledgements | bytes for the source |
/// | source | `SourceLink`, `ProxyConnection+Source` | bytes for the source | bytes for the client |
///
/// The way back is the log's acknowledgement, which comes to `CaptureLoop` and releases what is held. Each client
/// connection has one loop and lives there with its connection to the source; loops share nothing but the log and the
/// budget of bytes in flight.
// Sound: every member is a constant that synchronises itself; Dispatch sources do too.
package final class CaptureProxy: @unchecked Sendable {
    /// How a stop went.
    package struct DrainReport: Sendable, Equatable {
        /// Connections that were still open when the time was over.
        package var abandonedConnectionCount = 0
        /// Every record was acknowledged.
        package var isLogFlushed = true

        package var isComplete: Bool { abandonedConnectionCount == 0 && isLogFlushed }
    }

    /// A log must take records of this size, key included: that of the smallest buffer.
    package static let leastRecordLimitBytes = SegmentPool.smallBytes + TrafficStreamIdentity.idBytesLimit

    /// Names are looked up again so often.
    private static let resolveInterval = Duration.seconds(30)

    private let context: CaptureContext
    private let loops: EventLoopGroup
    private let captureLoops: [CaptureLoop]
    private let listeners: [Listener]
    private let certificates: CertificateWatch?
    private let resolver: any DispatchSourceTimer
    private let isStopped = Atomic<Bool>(false)

    /// Listens and serves from here on. Blocks while the source's name is looked up.
    ///
    /// - Parameters:
    ///   - trafficLog: nil records nothing. The caller closes it after `stop`.
    ///   - wallClock: nanoseconds since 1970.
    ///   - certificateInterval: how often certificate files are looked at.
    package init(
        _ settings: CaptureSettings, trafficLog: (any TrafficLogWriter)?, metrics: MetricsRegistry, log: Log,
        wallClock: @escaping @Sendable () -> Int64, certificateInterval: Duration = .seconds(30)
    ) throws(IOError) {
        let source = try Self.endpoint(settings)
        let context = CaptureContext(
            settings: settings, trafficLog: trafficLog, source: source, registry: metrics, log: log,
            wallClock: wallClock)
        self.context = context
        let tls = try Self.serverTLS(settings)
        let group = try EventLoopGroup(count: settings.limits.workerCount)
        loops = group
        let captureLoops = group.loops.map { CaptureLoop(loop: $0, context: context) }
        self.captureLoops = captureLoops
        for captureLoop in captureLoops { captureLoop.loop.execute { captureLoop.start() } }
        trafficLog?.report(on: captureLoops[0].loop)
        do throws(IOError) {
            listeners = try Self.listen(settings, tls: tls, on: captureLoops)
        } catch {
            group.stop()
            throw error
        }
        certificates = tls.map { tls in
            let files = settings.tls.map { [$0.certificateFile, $0.keyFile] + ($0.clientCAFile.map { [$0] } ?? []) }
            return CertificateWatch(
                tls, files: files ?? [], interval: certificateInterval, metrics: context.metrics, log: log)
        }
        if let trafficLog { Self.observe(trafficLog, context, captureLoops) }
        resolver = Self.startResolving(source)
    }

    /// Where clients connect to, with the port that the kernel chose if none was given.
    package var localAddress: SocketAddress { listeners[0].localAddress }

    /// Ready to serve: not while it stops.
    package var readiness: AdminReadiness {
        isStopped.load(ordering: .relaxed) ? .notReady("stopping") : .ready
    }

    /// Stops accepting, lets open exchanges finish and the log flush for at most `duration`, then ends everything.
    /// Blocks; not on a loop.
    package func stop(within duration: Duration) -> DrainReport {
        guard !isStopped.exchange(true, ordering: .acquiringAndReleasing) else { return DrainReport() }
        let end = MonotonicInstant.now().advanced(by: duration)
        for listener in listeners { listener.close() }
        resolver.cancel()
        certificates?.stop()
        let drained = DispatchGroup()
        for captureLoop in captureLoops {
            drained.enter()
            let isAccepted = captureLoop.loop.execute { captureLoop.drain { drained.leave() } }
            if !isAccepted { drained.leave() }
        }
        var report = DrainReport()
        let left = max(MonotonicInstant.now().duration(to: end), .zero)
        if drained.wait(timeout: .now() + .nanoseconds(Int(clamping: left.wholeNanoseconds))) == .timedOut {
            report.abandonedConnectionCount = abandon()
        }
        if let log = context.trafficLog {
            // Records are small and the log is fast: what connections left to the last moment is still flushed.
            let rest = max(MonotonicInstant.now().duration(to: end), .seconds(1))
            report.isLogFlushed = log.flush(within: rest)
        }
        loops.stop()
        return report
    }

    private func abandon() -> Int {
        let count = Atomic<Int>(0)
        let ended = DispatchGroup()
        for captureLoop in captureLoops {
            ended.enter()
            let isAccepted = captureLoop.loop.execute {
                count.add(captureLoop.connectionCount, ordering: .relaxed)
                captureLoop.abandon()
                ended.leave()
            }
            if !isAccepted { ended.leave() }
        }
        ended.wait()
        return count.load(ordering: .relaxed)
    }

    /// Tells the loops and the operator when the log goes and comes back.
    private static func observe(
        _ trafficLog: any TrafficLogWriter, _ context: CaptureContext, _ captureLoops: [CaptureLoop]
    ) {
        let metrics = context.metrics
        let report = OutageReport(
            context.log, policy: context.settings.outagePolicy, figures: { metrics.outageFigures },
            later: { delay, work in
                let nanoseconds = Int(clamping: delay.wholeNanoseconds)
                DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(nanoseconds), execute: work)
            })
        report.changed(to: trafficLog.state)
        trafficLog.observeState { state in
            report.changed(to: state)
            for captureLoop in captureLoops {
                captureLoop.loop.execute { captureLoop.logChanged(isOutage: !state.takesRecords) }
            }
        }
    }

    // MARK: Making the parts

    private static func endpoint(_ settings: CaptureSettings) throws(IOError) -> SourceEndpoint {
        var tls: TLSClientConfiguration?
        if settings.source.isTLS {
            tls = try TLSClientConfiguration(
                caFile: settings.sourceTLS.caFile, certificateChainFile: settings.sourceTLS.clientCertificateFile,
                privateKeyFile: settings.sourceTLS.clientKeyFile, isInsecure: settings.sourceTLS.isInsecure)
        }
        return try SourceEndpoint(host: settings.source.host, port: settings.source.port, tls: tls)
    }

    private static func serverTLS(_ settings: CaptureSettings) throws(IOError) -> TLSServerConfiguration? {
        guard let tls = settings.tls else { return nil }
        let asked: TLSServerConfiguration.ClientCertificate =
            switch tls.clientCertificates {
            case .none: .none
            case .optional: .optional
            case .required: .required
            }
        return try TLSServerConfiguration(
            certificateChainFile: tls.certificateFile, privateKeyFile: tls.keyFile, clientCAFile: tls.clientCAFile,
            clientCertificate: asked)
    }

    /// One listener a loop on the same port; the kernel spreads connections over them.
    private static func listen(
        _ settings: CaptureSettings, tls: TLSServerConfiguration?, on captureLoops: [CaptureLoop]
    ) throws(IOError) -> [Listener] {
        let host = settings.listenAddress.host
        var address = try SocketAddress.resolve(
            host: host.isEmpty ? "0.0.0.0" : host, port: settings.listenAddress.port)[0]
        var options = ListenerOptions()
        options.takesProxyHeader = settings.acceptsProxyProtocol
        options.isPortReused = captureLoops.count > 1
        options.connectionLimit = max(1, settings.limits.connectionLimit / captureLoops.count)
        var listeners: [Listener] = []
        do throws(IOError) {
            for captureLoop in captureLoops {
                let listener = try Listener(on: captureLoop.loop, address: address, tls: tls, options: options) {
                    captureLoop.accept($0)
                }
                address = listener.localAddress
                listeners.append(listener)
            }
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        return listeners
    }

    private static func startResolving(_ source: SourceEndpoint) -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "millrace.resolver"))
        let nanoseconds = Int(clamping: resolveInterval.wholeNanoseconds)
        timer.schedule(deadline: .now() + .nanoseconds(nanoseconds), repeating: .nanoseconds(nanoseconds))
        timer.setEventHandler { source.refresh() }
        timer.activate()
        return timer
    }
}
