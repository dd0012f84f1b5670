import Glibc
import Testing

@testable import HTTPMessage

/// The vector scans read inside the bytes that they are given: a page that cannot be read lies before and behind.
/// (The address sanitizer does not see into imported C functions.)
@Suite struct HTTPScanBoundsTests {
    @Test func headsBesideUnreadablePages() throws {
        let page = 4096
        let memory = try #require(
            mmap(nil, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "no memory")
        defer { munmap(memory, 3 * page) }
        #expect(mprotect(memory, page, PROT_NONE) == 0)
        #expect(mprotect(memory + 2 * page, page, PROT_NONE) == 0)
        for text in HTTPCutTests.requests {
            let bytes = Array(text.utf8)
            for count in 1...bytes.count {
                for start in [memory + page, memory + 2 * page - count] {
                    bytes.withUnsafeBytes { start.copyMemory(from: $0.baseAddress!, byteCount: count) }
                    var scanner = HTTPHeadScanner()
                    let outcome = try? scanner.scan(UnsafeRawBufferPointer(start: start, count: count))
                    if outcome == true { #expect(scanner.head.byteCount <= count) }
                }
            }
        }
    }
}
