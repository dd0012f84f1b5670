import Glibc
import Testing

@testable import Settings

/// Compares a reference page of the documentation with what the flags say today; `MILLRACE_RENEW_GOLDEN=1` writes it.
enum UsageGolden {
    static func check(_ text: String, _ path: String) throws {
        let whole = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/\(path)"
        if getenv("MILLRACE_RENEW_GOLDEN") != nil {
            let file = try #require(fopen(whole, "w"))
            fputs(text, file)
            fclose(file)
        }
        let page = String(decoding: try SmallFile.read(whole).get(), as: UTF8.self)
        #expect(page == text)
    }
}
