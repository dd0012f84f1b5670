import JSONBytes
import TestSupport

/// `millrace traffic report -o json`.
struct ReplayReport {
    let ending: ChildProcess.Ending
    let json: JSONValue
    let text: String

    init(folder: String, _ more: [String], scratch: TemporaryFolder) throws {
        let words = [TestEnvironment.millrace ?? "millrace", "traffic", "report", folder, "-o", "json"]
        let process = try ChildProcess(words + more, folder: scratch.path, name: "report")
        ending = process.wait()
        text = process.outputText + process.errorText
        json = try JSONValue.parse(Array(process.outputText.utf8))
    }
}
