import JSONBytes

/// How many root documents each index should have.
package struct ExpectedCounts: Sendable, Equatable {
    package struct Index: Sendable, Equatable {
        package let name: String
        package let count: Int
        /// Why documents of it were not read, so that the count is not all of them; nil when they were.
        package let leftOut: String?

        package init(name: String, count: Int, leftOut: String? = nil) {
            self.name = name
            self.count = count
            self.leftOut = leftOut
        }
    }

    /// Sorted by name, each name once.
    package let indices: [Index]

    package init(indices: [Index]) {
        self.indices = indices.sorted { $0.name < $1.name }
    }

    /// What is wrong with a report.
    package struct ReadError: Error, Sendable, Equatable {
        package let message: String
    }

    /// From the JSON report of a backfill: what it read out of the snapshot as living root documents, whether the
    /// target took them or not. A report of a run that did not end its work counts nothing to compare with.
    package init(backfillReport bytes: [UInt8], name: String) throws(ReadError) {
        let report: JSONValue
        do throws(JSONError) {
            report = try JSONValue.parse(bytes)
        } catch {
            throw ReadError(message: "\(name) is no JSON: \(error)")
        }
        guard let outcome = report["outcome"]?.stringValue, let entries = report["indices"]?.arrayValue else {
            throw ReadError(message: "\(name) is no report of a backfill: outcome and indices are expected")
        }
        guard outcome != "stopped" else {
            throw ReadError(
                message: "\(name) is of a backfill that did not finish: run it to its end, then compare")
        }
        var leftOut: [String: String] = [:]
        for entry in report["leftOut"]?.arrayValue ?? [] {
            guard let index = entry["index"]?.stringValue, let detail = entry["detail"]?.stringValue else {
                throw ReadError(message: "\(name): something is left out without its index and why")
            }
            let shard = entry["shard"]?.intValue.map { "shard \($0): " } ?? ""
            leftOut[index] = leftOut[index] ?? "\(shard)\(detail)"
        }
        var indices: [Index] = []
        var names: Set<String> = []
        for entry in entries {
            guard let index = entry["name"]?.stringValue, let tally = entry["documents"],
                let migrated = tally["migrated"]?.intValue, let rejected = tally["rejected"]?.intValue,
                let omitted = tally["omitted"]?.intValue
            else { throw ReadError(message: "\(name): an index without a name and its counts") }
            guard names.insert(index).inserted else {
                throw ReadError(message: "\(name): index \(index) stands there twice")
            }
            indices.append(
                Index(name: index, count: Int(migrated + rejected + omitted), leftOut: leftOut[index]))
        }
        for (index, why) in leftOut where !names.contains(index) {
            indices.append(Index(name: index, count: 0, leftOut: why))
        }
        self.init(indices: indices)
    }
}
