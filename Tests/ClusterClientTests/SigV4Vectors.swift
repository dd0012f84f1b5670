import Testing

@testable import ClusterClient

/// AWS's published test suite for Signature Version 4: the header variants of
/// github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4, at commit 495329c2433034bd8fd53fc6ba9e0202d3fac876.
/// Left out are the `-unnormalized` cases, which no service of ours uses. Renewed by reading `request.txt`,
/// `context.json` and `header-signature.txt` of every folder.
enum SigV4Vectors {
    enum Token: Sendable {
        case signed(String)
        /// Sent, but not part of the signature.
        case omitted
    }

    struct Vector: Sendable, CustomTestStringConvertible {
        var name: String
        var method: String
        var path: String
        var query: [(String, String)]
        var fields: [(String, String)]
        var body: String?
        var token: Token?
        var signature: String

        init(
            _ name: String, _ method: String, _ path: String, _ query: [(String, String)], _ fields: [(String, String)],
            body: String?, token: Token?, _ signature: String
        ) {
            self.name = name
            self.method = method
            self.path = path
            self.query = query
            self.fields = fields
            self.body = body
            self.token = token
            self.signature = signature
        }

        var testDescription: String { name }
    }

    static let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    static let sessionToken = [
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo",
        "IYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5V",
        "SXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yj",
        "c8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    ].joined()

    static let shortSessionToken = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"

    static let all: [Vector] = [
        Vector(
            "get-header-key-duplicate", "GET", "/", [],
            [("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")], body: nil, token: nil,
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
        Vector(
            "get-header-value-multiline", "GET", "/", [],
            [("my-header1", "value1\n  value2\n     value3")], body: nil, token: nil,
            "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"),
        Vector(
            "get-header-value-order", "GET", "/", [],
            [("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")],
            body: nil, token: nil,
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
        Vector(
            "get-header-value-trim", "GET", "/", [],
            [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")], body: nil, token: nil,
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        Vector(
            "get-relative-normalized", "GET", "/example/..", [],
            [], body: nil, token: nil,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            "get-relative-relative-normalized", "GET", "/example1/example2/../..", [],
            [], body: nil, token: nil,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            "get-slash-dot-slash-normalized", "GET", "/./", [],
            [], body: nil, token: nil,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            "get-slash-normalized", "GET", "//", [],
            [], body: nil, token: nil,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            "get-slash-pointless-dot-normalized", "GET", "/./example", [],
            [], body: nil, token: nil,
            "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        Vector(
            "get-slashes-normalized", "GET", "//example//", [],
            [], body: nil, token: nil,
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        Vector(
            "get-space-normalized", "GET", "/example space/", [],
            [], body: nil, token: nil,
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        Vector(
            "get-unreserved", "GET", "/\(unreserved)", [],
            [], body: nil, token: nil,
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        Vector(
            "get-utf8", "GET", "/ሴ", [],
            [], body: nil, token: nil,
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        Vector(
            "get-vanilla-empty-query-key", "GET", "/", [("Param1", "value1")],
            [], body: nil, token: nil,
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        Vector(
            "get-vanilla-query-order-encoded", "GET", "/",
            [("Param-3", "Value3"), ("Param", "Value2"), ("ሴ", "Value1")],
            [], body: nil, token: nil,
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
        Vector(
            "get-vanilla-query-order-key-case", "GET", "/", [("Param2", "value2"), ("Param1", "value1")],
            [], body: nil, token: nil,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        Vector(
            "get-vanilla-query-unreserved", "GET", "/", [("\(unreserved)", "\(unreserved)")],
            [], body: nil, token: nil,
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        Vector(
            "get-vanilla-query", "GET", "/", [],
            [], body: nil, token: nil,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            "get-vanilla-utf8-query", "GET", "/", [("ሴ", "bar")],
            [], body: nil, token: nil,
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        Vector(
            "get-vanilla-with-session-token", "GET", "/", [],
            [], body: nil, token: .signed(shortSessionToken),
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
        Vector(
            "get-vanilla", "GET", "/", [],
            [], body: nil, token: nil,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            "post-header-key-case", "POST", "/", [],
            [], body: nil, token: nil,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        Vector(
            "post-header-key-sort", "POST", "/", [],
            [("my-header1", "value1")], body: nil, token: nil,
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
        Vector(
            "post-header-value-case", "POST", "/", [],
            [("my-header1", "VALUE1")], body: nil, token: nil,
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        Vector(
            "post-sts-header-after", "POST", "/", [],
            [], body: nil, token: .omitted,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        Vector(
            "post-sts-header-before", "POST", "/", [],
            [], body: nil, token: .signed(sessionToken),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
        Vector(
            "post-vanilla-empty-query-value", "POST", "/", [("Param1", "value1")],
            [], body: nil, token: nil,
            "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        Vector(
            "post-vanilla-query", "POST", "/", [("Param1", "value1")],
            [], body: nil, token: nil,
            "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        Vector(
            "post-vanilla", "POST", "/", [],
            [], body: nil, token: nil,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        Vector(
            "post-x-www-form-urlencoded-parameters", "POST", "/", [],
            [("content-type", "application/x-www-form-urlencoded; charset=utf-8"), ("content-length", "13")],
            body: "Param1=value1", token: nil,
            "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
        Vector(
            "post-x-www-form-urlencoded", "POST", "/", [],
            [("content-type", "application/x-www-form-urlencoded"), ("content-length", "13")], body: "Param1=value1",
            token: nil,
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
    ]
}
