import Testing

@testable import Telemetry

@Suite struct MetricsTests {
    @Test func expositionIsPrometheusText() {
        let registry = MetricsRegistry()
        let requests = registry.counter("test_requests_total", help: "By answer.", labels: ["answer": "ok"])
        let failed = registry.counter("test_requests_total", help: "By answer.", labels: ["answer": "a\\b\"c\nd"])
        let waiting = registry.gauge("test_waiting_requests", help: "Waiting.\nTwo lines and a \\.")
        registry.gauge("test_done_ratio", help: "Part done.") { 0.125 }
        registry.counter("test_read_bytes_total", help: "Bytes.") { 12 }
        let latency = registry.histogram(
            "test_answer_seconds", help: "Latency.", labels: ["target": "t"], bounds: [0.5, 1, 2.5])
        requests.add(41)
        requests.increment()
        failed.increment()
        waiting.set(5)
        waiting.add(-7)
        for value in [0.5, 0.75, 2.5, 100] { latency.observe(value) }
        latency.observe(Duration.milliseconds(250))
        #expect(
            String(decoding: registry.exposition(), as: UTF8.self) == """
                # HELP test_requests_total By answer.
                # TYPE test_requests_total counter
                test_requests_total{answer="ok"} 42
                test_requests_total{answer="a\\\\b\\"c\\nd"} 1
                # HELP test_waiting_requests Waiting.\\nTwo lines and a \\\\.
                # TYPE test_waiting_requests gauge
                test_waiting_requests -2
                # HELP test_done_ratio Part done.
                # TYPE test_done_ratio gauge
                test_done_ratio 0.125
                # HELP test_read_bytes_total Bytes.
                # TYPE test_read_bytes_total counter
                test_read_bytes_total 12
                # HELP test_answer_seconds Latency.
                # TYPE test_answer_seconds histogram
                test_answer_seconds_bucket{target="t",le="0.5"} 2
                test_answer_seconds_bucket{target="t",le="1"} 3
                test_answer_seconds_bucket{target="t",le="2.5"} 4
                test_answer_seconds_bucket{target="t",le="+Inf"} 5
                test_answer_seconds_sum{target="t"} 104
                test_answer_seconds_count{target="t"} 5

                """)
    }

    @Test func numbersAreWrittenAsPrometheusReadsThem() {
        #expect(MetricsText.number(.nan) == "NaN")
        #expect(MetricsText.number(.infinity) == "+Inf")
        #expect(MetricsText.number(-.infinity) == "-Inf")
        #expect(MetricsText.number(3) == "3")
        #expect(MetricsText.number(1e300) == "1e+300")
        #expect(MetricsText.number(0.1) == "0.1")
    }

    @Test(arguments: [
        ("backfill_documents_total", MetricKind.counter), ("backfill_read_bytes_total", .counter),
        ("process_open_fds", .gauge), ("process_resident_memory_bytes", .gauge), ("replay_lag_seconds", .histogram),
    ])
    func goodNames(name: String, kind: MetricKind) {
        #expect(MetricName.problem(name, kind: kind) == nil)
    }

    @Test(arguments: [
        ("backfill_documents", MetricKind.counter), ("backfill_total", .counter), ("documents_total", .counter),
        ("backfill_done_total", .gauge), ("backfill_answer_millis", .histogram), ("Backfill_read_bytes", .gauge),
        ("backfill__bytes", .gauge), ("backfill-read-bytes", .gauge), ("9backfill_read_bytes", .gauge), ("", .gauge),
        ("backfill_read_bytes_", .gauge), ("_read_bytes", .gauge),
    ])
    func badNames(name: String, kind: MetricKind) {
        #expect(MetricName.problem(name, kind: kind) != nil)
    }

    @Test func labelNames() {
        #expect(MetricName.labelProblem("reason") == nil)
        #expect(MetricName.labelProblem("http_status") == nil)
        for name in ["", "le", "Reason", "9a", "_a", "a-b"] { #expect(MetricName.labelProblem(name) != nil) }
    }

    @Test func aWrongOrRepeatedRegistrationTraps() async {
        await #expect(processExitsWith: .failure) {
            _ = MetricsRegistry().counter("test_documents", help: "No _total.")
        }
        await #expect(processExitsWith: .failure) {
            let registry = MetricsRegistry()
            _ = registry.gauge("test_read_bytes", help: "Once.")
            _ = registry.gauge("test_read_bytes", help: "Once.")
        }
    }

    @Test func concurrentUpdatesAreAllCounted() {
        let registry = MetricsRegistry()
        let counter = registry.counter("test_events_total", help: "Events.")
        let gauge = registry.gauge("test_open_items", help: "Open.")
        let histogram = registry.histogram("test_wait_seconds", help: "Wait.", bounds: [1, 2, 3])
        let threads = (0..<4).map { worker in
            TestThread {
                for round in 0..<2000 {
                    counter.increment()
                    gauge.add(round % 2 == 0 ? 3 : -3)
                    histogram.observe(Double(worker) + 0.5)
                    if round % 500 == 0 { _ = registry.exposition() }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(counter.value == 8000)
        #expect(gauge.value == 0)
        #expect(histogram.figures.cumulativeCounts == [2000, 4000, 6000, 8000])
        #expect(histogram.figures.sum == 2000 * (0.5 + 1.5 + 2.5 + 3.5))
    }

    @Test func everyBucketBoundaryAgreesWithAnObviousModel() {
        let bounds = Histogram.latencySecondsBounds
        let histogram = Histogram(bounds: bounds)
        let values = bounds + bounds.map { $0.nextUp } + bounds.map { $0.nextDown } + [-1, 0, .infinity, .nan]
        for value in values { histogram.observe(value) }
        let model = bounds.map { bound in UInt64(values.filter { $0 <= bound }.count) } + [UInt64(values.count)]
        #expect(histogram.figures.cumulativeCounts == model)
    }
}

@Suite struct ProcessMetricsTests {
    @Test func figuresOfThisProcessArePlausible() throws {
        let registry = MetricsRegistry()
        ProcessMetrics.register(in: registry)
        let text = String(decoding: registry.exposition(), as: UTF8.self)
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds"] {
            #expect(text.contains("\nprocess_\(name) "))
        }
        #expect(try #require(ProcessMetrics.residentMemoryBytes) > 1 << 20)
        #expect(try #require(ProcessMetrics.openDescriptorCount) >= 1)
        #expect(ProcessMetrics.cpuSeconds > 0)
        let start = try #require(ProcessMetrics.startTimeSeconds)
        let now = Double(LogTime.now.millisecondsSinceEpoch) / 1000
        #expect(start > now - 86_400 && start < now + 5)
    }

    @Test func aProgramNameWithParenthesesDoesNotShiftTheFields() {
        let fields = (4...30).map { $0 == 22 ? "5000" : "\($0)" }.joined(separator: " ")
        let stat = "123 (a) b (c) S \(fields)\n"
        #expect(ProcessMetrics.startTimeSeconds(stat: stat, kernel: "cpu 1\nbtime 1000\n", ticksPerSecond: 100) == 1050)
        #expect(ProcessMetrics.startTimeSeconds(stat: "1", kernel: "btime 1", ticksPerSecond: 100) == nil)
        #expect(ProcessMetrics.startTimeSeconds(stat: "1 (a) S 4", kernel: "btime 1", ticksPerSecond: 100) == nil)
    }
}
