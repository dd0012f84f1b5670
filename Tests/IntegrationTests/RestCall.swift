import CSystem
import Foundation
import TestSupport

/// A REST call over a plain socket, independent of our HTTP modules: one request a connection, HTTP/1.0, so the answer
/// ends with the connection.
enum RestCall {
    struct Failure: Error, CustomStringConvertible { let description: String }

    struct Answer {
        let status: Int
        let body: [UInt8]

        func json() throws -> [String: Any] {
            guard let object = try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any] else {
                throw Failure(description: "no object: \(String(decoding: body.prefix(200), as: UTF8.self))")
            }
            return object
        }
    }

    @discardableResult
    static func send(_ method: String, _ base: String, _ path: String, _ body: String? = nil) throws -> Answer {
        guard let parts = URLComponents(string: base), let host = parts.host, let port = parts.port else {
            throw Failure(description: "\(base) has no host and port")
        }
        let payload = Array((body ?? "").utf8)
        var request = Array("\(method) \(path) HTTP/1.0\r\nhost: \(host):\(port)\r\n".utf8)
        request += Array("content-type: application/json\r\ncontent-length: \(payload.count)\r\n\r\n".utf8)
        let all = try exchange(host, port, request + payload)
        guard let end = Data(all).range(of: Data("\r\n\r\n".utf8)) else {
            throw Failure(description: "\(method) \(path): no answer")
        }
        let words = String(decoding: all[0..<end.lowerBound], as: UTF8.self).split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { throw Failure(description: "no status") }
        return Answer(status: status, body: Array(all[end.upperBound...]))
    }

    /// Percent-encodes everything but RFC 3986's unreserved characters.
    static func encode(_ segment: String) -> String {
        segment.utf8.map { byte -> String in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: return String(UnicodeScalar(byte))
            default: return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }

    private static func exchange(_ host: String, _ port: Int, _ request: [UInt8]) throws -> [UInt8] {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw FileFailure("socket", errno) }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        guard inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host, &address.sin_addr) == 1 else {
            throw Failure(description: "\(host): these tests call IPv4 addresses only")
        }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw FileFailure("connect to \(host):\(port)", errno) }
        var offset = 0
        while offset < request.count {
            let count = request[offset...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw FileFailure("send", errno) }
            offset += count
        }
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            guard count >= 0 else { throw FileFailure("recv", errno) }
            if count == 0 { return answer }
            answer += piece[0..<count]
        }
    }
}
