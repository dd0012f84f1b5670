/// The release of this package, for `--version`.
package enum ProgramVersion {
    package static let text = "0.1.0"
}
