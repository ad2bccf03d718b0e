import XCTest

@testable import NelfKit

final class PNGTests: XCTestCase {
    /// Made with Python's zlib: rows filtered in turn with all five filters, IDAT in two pieces, a text chunk before it.
    /// Width, height, channels, and the file; the kind of block that zlib wrote is the name.
    private let files: [String: (Int, Int, Int, String)] = [
        "stored": (
            4, 5, 3,
            "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAFCAIAAADtz9qMAAAAA3RFWHRhAGLcSaI7AAAACUlEQVR4AQFBAL7/AAAHpw85AAAAQ0lE"
                + "QVQoUAMrUwYuVgkxWQEFLVUEBAQEBAQBAQECBQUFBgYGBAQEBQUFAwoeMgMDAwQEBAQEBAQFBQUEBAQEBAQBAQGr0QOkMojoewAA"
                + "AABJRU5ErkJggg=="
        ),
        "fixed": (
            6, 7, 4,
            "iVBORw0KGgoAAAANSUhEUgAAAAYAAAAHCAYAAAArkDztAAAAA3RFWHRhAGLcSaI7AAAAFElEQVR4AWNg0AioYNYOrmbTC6vjNIxs"
                + "5GaWtxwAAABRSURBVDGJaeE3j29nZNUNrWWBAkYggLGZWIGADQhAHGQ2M5eckRszEMBUwtkgVdiMYpB0zJwo55Y3TcGjYIaSV9Es"
                + "df/y+ZqBlQsZQYLMWAAAu3gTyKc7dxYAAAAASUVORK5CYII="
        ),
        "dynamic": (
            40, 30, 3,
            "iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAAA3RFWHRhAGLcSaI7AAAAlklEQVR42uXWaVRMcRgG8LlzmxkSsnSS"
                + "pZOsmRNJR0KHLJ1SKClJSoutQpESUlom2nehVSrSvmrfU2hf0CJLyBKy7zzNOL4aHHc+9P/03vnyn3nnd57n0miztUi2DnOu3vD5"
                + "m0UUDEcrGo9dbCqmvH3C8l2TVlpKqu6dqm4zXdN21nr7ORsOy+o6yuk7L9jiutCIo2Rycqm597J+X+FrAAACyklEQVSdfissAlfv"
                + "CVGzDtM4cHadXaS2Q8zGo+c3OSUYuCRudU/ediLNzCtzh2/O7oA8q+DCfadK9p8pPxhRRTBkdYW4hyAIKgc6g8FgMpl4oHgghSXl"
                + "SZLkfREqh8HLBbJqmoTKbgiSUrOWXrMfgmS0Hdg6RyBI3sBFwdANgpaYeSlv94GgVVbBqntDIWjtwYj19lEQpHcsXt/5AgQZe6Sa"
                + "nEyHoF3+ly0C8yHI5nTZgbMVh6JrDp+7evT89eMXm1wvtbgnt3lmdHhndfnm3CZwKymI8xMXi8WieCDF2cvwwPvPqRy4sgVxaECE"
                + "GFps6glEiKGVlkFAhBjStA0HIsSQrmMcECGGjDgpQIQY2umXC0SIIeuwUiBCDDnE1ALRsfh6l8RmIPJIveGV2QlE/pfvBBf2hhQ9"
                + "OF32OKKqP7L6+bmrr+Lr3yU0vCcUjT3wo+ncQ+VA5636186pG6YpavCw4SOqBs7g9QzuoXDVTN5A+6MuQxIdib0GREgit6RWIEIS"
                + "+WR3A1FQwf3Q4odAFF75LOrKCyCKq3t7ofHDpZbPKe3f0m8RWV1CuT2s/HvCRQ9GlvaJElqHoodYLcqt0v9v3ecmkFpk/aYWzb2z"
                + "IMgyqGBPSBEE2YZX2kVWQ5BjXJ1TQgMEcVLaT6TdhCC/3J6AvLsQFFbad6b8CQTF1A7EXnsNQYnNn5Jav0BQZieZ3c2AoMJekeKH"
                + "oyqejqvqF7vyQvz6m8n17yQbP0i1fZ1x4/usW4QMgVuHWC0u1TL/t4JzE0gtCv19LQIRYghvQ0CEGMLbEBAhhk6VPAIixFB0zUsg"
                + "QgxdbPoIRIihjA46ECGGCu6PACLEUOWz8UBUOyBR93YKEDV/km7/NhOIOkl2D2venWFyvSIKfaKLHo9R6hdTHpBQeTVxBYEGHWK1"
                + "qL7Vhr86c+er8jh89aMr37XIX3Uy+Vq1EHf4AXPTyk+5veQ6AAAAAElFTkSuQmCC"
        ),
    ]

    private func file(_ name: String) throws -> Data {
        try XCTUnwrap(Data(base64Encoded: XCTUnwrap(files[name]).3))
    }

    func testEveryFilterAndKindOfBlock() throws {
        for (name, (width, height, channels, _)) in files {
            let pixels = (0..<height).flatMap { y in
                (0..<width).flatMap { x in
                    (0..<channels).map { UInt8(truncatingIfNeeded: 3 * x + 5 * y + 40 * $0 + (x * y) % 3) }
                }
            }
            let picture = try PNG.decode(file(name))
            XCTAssertEqual(picture, Picture(width: width, height: height, channels: channels, pixels: pixels), name)
        }
    }

    func testWhatIsNoPNGOfOursIsRefused() throws {
        let good = try file("fixed")
        var broken = [Data(), Data("no PNG".utf8), good.prefix(8)]
        broken += (8..<good.count - 12).map { Data(good.prefix($0)) }
        for (place, value) in [(24, 16), (25, 3), (28, 1), (16, 255), (19, 0), (23, 9)] {  // of the header
            var changed = good
            changed[place] = UInt8(value)
            broken.append(changed)
        }
        for (number, data) in broken.enumerated() {
            XCTAssertThrowsError(try PNG.decode(data), "\(number)") { XCTAssert($0 is PNG.Fault, "\($0)") }
        }
    }

    /// Any damage is refused or gives other pixels; nothing traps.
    func testDamage() throws {
        let good = try file("dynamic")
        let picture = try PNG.decode(good)
        var found = 0
        for place in good.indices {
            for flip in [UInt8(1), 0x80] {
                var changed = good
                changed[place] ^= flip
                if (try? PNG.decode(changed)) != picture { found += 1 }
            }
        }
        XCTAssertGreaterThan(found, good.count)  // checksums and the text are not read
    }
}
