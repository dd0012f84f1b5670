// swift-tools-version: 6.2
import PackageDescription

// Layers, imports pointing down only: programs, flows, edges, formats, ground (see README.md).
// A module appears here when its code does. There are no third-party Swift packages: see Decisions.md of Backfill.

let package = Package(
    name: "millrace",
    products: [
        .executable(name: "millraced", targets: ["millraced"]),
        .executable(name: "millrace", targets: ["millrace"]),
    ],
    targets: [
        // Programs
        .executableTarget(
            name: "millraced",
            dependencies: [
                "Backfill", "Capture", "Replay", "TrafficLog", "ClusterClient", "Settings", "Telemetry", "EventIO",
                "CSystem",
            ]),
        .executableTarget(
            name: "millrace",
            dependencies: [
                "Settings", "SnapshotRepository", "SnapshotFormat", "LuceneFormat", "BlobStore", "JSONBytes",
                "Telemetry", "TrafficLog", "CapturedTraffic", "HTTPMessage", "TupleFormat", "CISAL", "CZstd", "CSystem",
                "ClusterClient", "EventIO", "Metadata", "Validation", "SnapshotCreation", "Transform",
            ]),

        // Flows
        .target(
            name: "Backfill",
            dependencies: [
                "BlobStore", "SnapshotRepository", "ClusterClient", "SnapshotFormat", "LuceneFormat", "BulkFormat",
                "JSONBytes", "EventIO", "Telemetry", "Settings", "CSQLite", "CSystem",
            ]),

        .target(
            name: "Capture",
            dependencies: [
                "CapturedTraffic", "TrafficLog", "HTTPMessage", "JSONBytes", "EventIO", "Telemetry", "Settings",
                "CSystem",
            ]),

        .target(
            name: "Replay",
            dependencies: [
                "CapturedTraffic", "TrafficLog", "ClusterClient", "Transform", "TupleFormat", "HTTPMessage",
                "JSONBytes",
                "EventIO", "Telemetry", "Settings", "CISAL", "CZstd", "CSystem",
            ]),

        .target(
            name: "Metadata",
            dependencies: ["ClusterClient", "SnapshotRepository", "SnapshotFormat", "JSONBytes"]),
        .target(name: "Validation", dependencies: ["ClusterClient", "JSONBytes", "Transform"]),
        .target(name: "SnapshotCreation", dependencies: ["ClusterClient", "JSONBytes"]),

        // Edges
        .target(
            name: "TrafficLog",
            dependencies: ["CapturedTraffic", "EventIO", "CRdKafka", "CLZ4", "CISAL", "CSystem", "Telemetry"]),
        .target(
            name: "ClusterClient",
            dependencies: [
                "HTTPMessage", "JSONBytes", "EventIO", "Telemetry", "Settings", "COpenSSL", "CISAL", "CSystem",
            ]),
        .target(name: "BlobStore", dependencies: ["CSystem"]),
        .target(
            name: "SnapshotRepository",
            dependencies: ["BlobStore", "SnapshotFormat", "LuceneFormat", "JSONBytes", "CISAL", "CSystem"]),

        // Formats
        .target(
            name: "Transform",
            dependencies: ["CapturedTraffic", "HTTPMessage", "BulkFormat", "JSONBytes", "CISAL", "CSystem"]),
        .target(name: "CapturedTraffic", dependencies: ["HTTPMessage", "JSONBytes", "CSystem"]),
        .target(name: "HTTPMessage", dependencies: ["CSystem"]),
        .target(name: "SnapshotFormat", dependencies: ["JSONBytes", "CISAL", "CZstd", "CSystem"]),
        .target(name: "LuceneFormat", dependencies: ["CLZ4", "CISAL", "CZstd", "CSystem"]),
        .target(name: "BulkFormat", dependencies: ["JSONBytes", "CSystem"]),
        .target(name: "JSONBytes", dependencies: ["CSystem"]),
        .target(name: "TupleFormat", dependencies: ["HTTPMessage", "JSONBytes", "CISAL", "CSystem"]),

        // Ground
        .target(name: "EventIO", dependencies: ["COpenSSL", "CSystem"]),
        .target(name: "Telemetry", dependencies: ["CSystem"]),
        .target(name: "Settings", dependencies: ["CSystem"]),
        .target(name: "CSystem"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CRdKafka", providers: [.apt(["librdkafka-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),

        // Tests. TestSupport holds what several test modules and the benchmarks share.
        .systemLibrary(
            name: "CHTTPParser", path: "Tests/CHTTPParser", providers: [.apt(["libhttp-parser-dev"])]),
        .target(
            name: "TestSupport",
            dependencies: ["HTTPMessage", "JSONBytes", "CLZ4", "CISAL", "CZstd", "CSystem", "COpenSSL"],
            path: "Tests/TestSupport"),
        .executableTarget(
            name: "millrace-fuzz",
            dependencies: [
                "HTTPMessage", "JSONBytes", "SnapshotFormat", "LuceneFormat", "BulkFormat", "CapturedTraffic",
                "Transform", "TupleFormat", "TrafficLog", "ClusterClient", "TestSupport", "CISAL", "CSystem",
            ],
            path: "Tests/Fuzz"),
        .executableTarget(
            name: "millrace-bench",
            dependencies: [
                "TestSupport", "Backfill", "BlobStore", "SnapshotFormat", "SnapshotRepository", "LuceneFormat",
                "HTTPMessage", "Transform", "TupleFormat", "JSONBytes", "BulkFormat", "EventIO", "ClusterClient",
                "TrafficLog", "CLZ4", "CISAL", "CZstd", "CSystem",
            ],
            path: "Benchmarks"),
        .testTarget(name: "EventIOTests", dependencies: ["EventIO", "TestSupport", "CSystem"]),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry", "TestSupport", "CSystem"]),
        .testTarget(name: "SettingsTests", dependencies: ["Settings", "TestSupport"]),
        .testTarget(name: "JSONBytesTests", dependencies: ["JSONBytes", "TestSupport"]),
        .testTarget(
            name: "HTTPMessageTests", dependencies: ["HTTPMessage", "TestSupport", "CHTTPParser", "millrace-fuzz"]),
        .testTarget(
            name: "ClusterClientTests",
            dependencies: ["ClusterClient", "HTTPMessage", "JSONBytes", "EventIO", "TestSupport", "COpenSSL"]),
        .testTarget(name: "BlobStoreTests", dependencies: ["BlobStore", "TestSupport"]),
        .testTarget(
            name: "SnapshotFormatTests", dependencies: ["SnapshotFormat", "JSONBytes", "BlobStore", "TestSupport"]),
        .testTarget(
            name: "LuceneFormatTests",
            dependencies: ["LuceneFormat", "SnapshotFormat", "BlobStore", "JSONBytes", "TestSupport", "CISAL"]),
        .testTarget(name: "BulkFormatTests", dependencies: ["BulkFormat", "JSONBytes", "TestSupport"]),
        .testTarget(
            name: "TransformTests",
            dependencies: ["Transform", "HTTPMessage", "JSONBytes", "BulkFormat", "TestSupport", "CISAL"]),
        .testTarget(
            name: "BackfillTests",
            dependencies: [
                "Backfill", "BulkFormat", "ClusterClient", "BlobStore", "SnapshotFormat", "LuceneFormat", "JSONBytes",
                "Settings", "Telemetry", "EventIO", "TestSupport",
            ]),
        .testTarget(
            name: "OneShotJobTests",
            dependencies: [
                "Metadata", "Validation", "SnapshotCreation", "ClusterClient", "SnapshotRepository", "BlobStore",
                "JSONBytes", "Transform", "TestSupport",
            ]),
        .testTarget(
            name: "SnapshotRepositoryTests",
            dependencies: [
                "SnapshotRepository", "BlobStore", "SnapshotFormat", "LuceneFormat", "JSONBytes", "TestSupport",
            ]),
        .testTarget(
            name: "ConformanceTests",
            dependencies: [
                "SnapshotRepository", "BlobStore", "SnapshotFormat", "LuceneFormat", "BulkFormat", "JSONBytes",
                "TestSupport", "COpenSSL",
            ]),
        .testTarget(
            name: "IntegrationTests", dependencies: ["TestSupport", "JSONBytes", "TrafficLog", "CSystem", "COpenSSL"]),
        .testTarget(
            name: "CapturedTrafficTests",
            dependencies: [
                "CapturedTraffic", "HTTPMessage", "JSONBytes", "TestSupport", "CISAL", "CZstd", "millrace",
                "millrace-fuzz",
            ]),
        .testTarget(
            name: "ReplayTests",
            dependencies: [
                "Replay", "CapturedTraffic", "TrafficLog", "HTTPMessage", "Settings", "Telemetry", "TestSupport",
                "CISAL",
                "CZstd",
            ]),
        .testTarget(
            name: "TupleFormatTests",
            dependencies: ["TupleFormat", "HTTPMessage", "JSONBytes", "TestSupport", "CISAL", "millrace-fuzz"]),
        .testTarget(
            name: "TrafficLogTests",
            dependencies: [
                "TrafficLog", "CapturedTraffic", "JSONBytes", "EventIO", "TestSupport", "CISAL", "CRdKafka", "CSystem",
                "millrace-bench",
            ]),
        .testTarget(
            name: "CaptureTests",
            dependencies: [
                "Capture", "CapturedTraffic", "TrafficLog", "HTTPMessage", "EventIO", "Settings", "TestSupport",
                "CSystem",
            ]),
        .testTarget(name: "LayoutTests", dependencies: ["TestSupport"]),
    ],
    swiftLanguageModes: [.v6]
)
