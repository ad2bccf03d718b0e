import XCTest

@testable import NelfKit

final class SHA256Tests: XCTestCase {
    /// FIPS 180-4's examples, and lengths around the padding's edges (from Python's hashlib).
    private let known: [(String, String)] = [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        (String(repeating: "x", count: 55), "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072"),
        (String(repeating: "x", count: 64), "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c"),
        (String(repeating: "x", count: 119), "000b48d4edf0fa7bee3c6236ecd2785baa5db4eeb8bb54341b029e0d9fa5fb0c"),
    ]

    func testKnownDigests() {
        for (text, digest) in known {
            var hasher = SHA256()
            hasher.update(text.utf8)
            XCTAssertEqual(hasher.finalize(), digest, "\(text.count) bytes")
        }
    }

    func testPiecesDoNotMatter() {
        for piece in [1, 7, 63, 64, 65] {
            var hasher = SHA256()
            let bytes = Array(known[2].0.utf8) + Array(known[4].0.utf8)
            for start in stride(from: 0, to: bytes.count, by: piece) {
                hasher.update(bytes[start..<min(start + piece, bytes.count)])
            }
            var whole = SHA256()
            whole.update(bytes)
            XCTAssertEqual(hasher.finalize(), whole.finalize())
        }
    }
}
