import XCTest

@testable import NelfKit

final class JSONTests: XCTestCase {
    func testValues() throws {
        let json = try JSON(#" {"a": [1, -2.5e3, 0, true, null], "ä\u00e9\ud83d\ude00\n": "\"\\\/"} "#.utf8)
        XCTAssertEqual(
            json,
            .object([
                "a": .array([.number(1), .number(-2500), .number(0), .bool(true), .null]), "äé😀\n": .string("\"\\/"),
            ]))
    }

    func testFaults() {
        for text in [
            "", " ", "{", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":}", "{1:2}", "01", "1.", ".5", "+1", "-", "1e", "0x1",
            "NaN",
            "tru", "nul", "\"", "\"\\x\"", "\"\\u12\"", "\"\u{1}\"", "[1] 2", "1e999", "{\"a\":1,}", "'a'", "[",
            String(repeating: "[", count: 100_000),
        ] {
            XCTAssertThrowsError(try JSON(text.utf8), text)
        }
        XCTAssertThrowsError(try JSON([0x22, 0xFF, 0x22]))
        XCTAssertThrowsError(try JSON([0x22, 0x00, 0x22]))
    }
}
