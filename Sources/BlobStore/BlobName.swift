/// Which blob names a store takes.
package enum BlobName {
    /// Whether `name` is a relative path that cannot leave its folder: non-empty components separated by one `/`, none
    /// of them `.` or `..`, no NUL. Names come out of metadata that somebody else wrote.
    package static func isContained(_ name: String) -> Bool {
        guard !name.isEmpty, !name.utf8.contains(0) else { return false }
        return name.split(separator: "/", omittingEmptySubsequences: false)
            .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }
}
