import Dispatch
import EventIO
import Glibc
import Telemetry

/// Reads the certificate anew when one of its files has changed: looks every 30 s, so a renewal is in use within a
/// minute also when its files change one after the other. A bad file leaves the old certificate in use and says so.
///
/// Works on a queue of its own: files may be slow.
// Sound: `stamps` is touched on `queue` only, and in `init` before the timer runs.
final class CertificateWatch: @unchecked Sendable {
    private struct Stamp: Equatable {
        var device: UInt = 0
        var inode: UInt = 0
        var size: Int = 0
        var seconds: Int = 0
        var nanoseconds: Int = 0
    }

    private let configuration: TLSServerConfiguration
    private let files: [String]
    private let metrics: CaptureMetrics
    private let log: Log
    private let queue = DispatchQueue(label: "millrace.certificates")
    private let timer: any DispatchSourceTimer
    private var stamps: [Stamp]

    init(
        _ configuration: TLSServerConfiguration, files: [String], interval: Duration, metrics: CaptureMetrics, log: Log
    ) {
        self.configuration = configuration
        self.files = files
        self.metrics = metrics
        self.log = log
        stamps = files.map(Self.stamp)
        timer = DispatchSource.makeTimerSource(queue: queue)
        metrics.tlsReloadTime.set(time(nil))
        let nanoseconds = Int(clamping: interval.wholeNanoseconds)
        timer.schedule(
            deadline: .now() + .nanoseconds(nanoseconds), repeating: .nanoseconds(nanoseconds),
            leeway: .milliseconds(100))
        timer.setEventHandler { [weak self] in self?.look() }
        timer.activate()
    }

    func stop() { timer.cancel() }

    private func look() {
        let fresh = files.map(Self.stamp)
        guard fresh != stamps else { return }
        do throws(IOError) {
            try configuration.reload()
            metrics.tlsReloads.increment()
            metrics.tlsReloadTime.set(time(nil))
            log.info("certificate reloaded", [.file: .text(files[0])])
            stamps = fresh
        } catch {
            // Not remembered as seen: the files may be half written, and the next look tries again.
            metrics.tlsReloadFailures.increment()
            log.error("certificate not reloaded", [.error: .text(error.message)])
        }
    }

    /// Also of what a symbolic link leads to: that is how mounted secrets change.
    private static func stamp(_ path: String) -> Stamp {
        var status = stat()
        guard stat(path, &status) == 0 else { return Stamp() }
        return Stamp(
            device: UInt(status.st_dev), inode: UInt(status.st_ino), size: Int(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }
}
