import JSONBytes
import SnapshotFormat
import SnapshotRepository
import Telemetry

/// Columns as wide as their widest text, two spaces between; no spaces at the end of a line.
struct TextTable {
    private let isRightAligned: [Bool]
    private var rows: [[String]]

    /// A heading that begins with `>` is of a column of numbers.
    init(_ headings: [String]) {
        isRightAligned = headings.map { $0.hasPrefix(">") }
        rows = [headings.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }]
    }

    mutating func append(_ row: [String]) {
        precondition(row.count == isRightAligned.count, "a row of \(row.count) in a table of \(isRightAligned.count)")
        rows.append(row.map(\.oneLine))
    }

    var text: String {
        let widths = isRightAligned.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let filling = String(repeating: " ", count: widths[column] - cell.count)
                line += (column == 0 ? "" : "  ") + (isRightAligned[column] ? filling + cell : cell + filling)
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}

/// Moments in UTC.
enum TimeText {
    /// To the second, for people; `-` when unknown.
    static func short(_ milliseconds: Int64?) -> String {
        guard let milliseconds else { return "-" }
        return full(milliseconds).prefix(19).map { $0 == "T" ? " " : String($0) }.joined() + "Z"
    }

    /// RFC 3339.
    static func full(_ milliseconds: Int64) -> String {
        LogTime(millisecondsSinceEpoch: milliseconds).text
    }
}

/// Engines for people: without the index version, which is for programs.
enum EngineText {
    static func short(_ versionID: Int) -> String {
        let text = EngineVersion.text(versionID)
        guard let bracket = text.firstRange(of: " (") else { return text }
        return String(text[..<bracket.lowerBound])
    }
}

/// Bytes in powers of ten.
enum SizeText {
    static func of(_ bytes: Int64) -> String {
        var value = Double(bytes)
        guard value >= 1e4 else { return "\(bytes) B" }
        for unit in ["kB", "MB", "GB"] {
            value /= 1e3
            if value < 1e3 { return "\(tenths(value)) \(unit)" }
        }
        return "\(tenths(value / 1e3)) TB"
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

extension String {
    /// Control characters of names and reasons that others wrote must not steer a terminal.
    var oneLine: String {
        String(String.UnicodeScalarView(unicodeScalars.map { Self.isControl($0) ? " " : $0 }))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
    }
}

extension SnapshotDescription.State {
    /// As the engines write it.
    var text: String {
        switch self {
        case .success: "SUCCESS"
        case .partial: "PARTIAL"
        case .failed: "FAILED"
        case .inProgress: "IN_PROGRESS"
        case .incompatible: "INCOMPATIBLE"
        }
    }
}

extension SourceMode {
    var text: String {
        switch self {
        case .stored: "stored"
        case .disabled: "disabled"
        case .filtered: "filtered"
        case .synthetic: "synthetic"
        }
    }
}
