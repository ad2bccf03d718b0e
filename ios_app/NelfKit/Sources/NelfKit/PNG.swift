import Foundation

/// An 8-bit image, row by row from the top without padding, channels together.
public struct Picture: Equatable, Sendable {
    public let width, height, channels: Int
    public let pixels: [UInt8]
}

/// Reads PNG files (ISO/IEC 15948) of the kind that nelf writes: 8-bit RGB and RGBA, not interlaced.
///
/// Golden images are premultiplied already; the system's decoders may multiply colour by alpha, or give another layout.
public enum PNG {
    public struct Fault: LocalizedError, Equatable {
        let what: String
        public var errorDescription: String? { "\(what). Copy the bundle again, whole, or export the scene again." }
    }

    private static let signature: [UInt8] = [137, 80, 78, 71, 13, 10, 26, 10]
    private static let largestSide = 1 << 14

    /// The image in `file`. Throws a `Fault`.
    public static func decode(_ file: Data) throws -> Picture {
        let bytes = [UInt8](file)
        guard bytes.starts(with: signature) else { throw Fault(what: "This is no PNG file") }
        var header: ArraySlice<UInt8>?
        var packed: [UInt8] = []
        var at = signature.count
        while at + 12 <= bytes.count {
            let length = number(bytes[at..<at + 4])
            guard length <= bytes.count - at - 12 else { throw Fault(what: "The PNG file is cut short") }
            let body = bytes[at + 8..<at + 8 + length]
            switch String(decoding: bytes[at + 4..<at + 8], as: UTF8.self) {
            case "IHDR": header = body
            case "IDAT": packed += body
            default: break
            }
            at += length + 12  // the last four are a checksum; the manifest's SHA-256 covers the whole file
        }
        guard let header, header.count == 13 else { throw Fault(what: "The PNG file has no header") }
        let fields = Array(header)
        let (width, height) = (number(fields[0..<4]), number(fields[4..<8]))
        let channels = [2: 3, 6: 4][fields[9]]
        guard (1...largestSide).contains(width), (1...largestSide).contains(height) else {
            throw Fault(what: "The PNG file has \(width) x \(height) pixels")
        }
        guard let channels, fields[8] == 8, fields[12] == 0 else {
            throw Fault(what: "The PNG file is not 8-bit RGB or RGBA without interlacing")
        }
        let rows: [UInt8]
        do {
            rows = try Inflate.bytes(packed, count: height * (1 + width * channels))
        } catch let fault as Inflate.Fault {
            throw Fault(what: "The PNG file cannot be unpacked (\(fault.what))")
        }
        let pixels = try unfiltered(rows, row: width * channels, height: height, step: channels)
        return Picture(width: width, height: height, channels: channels, pixels: pixels)
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 + Int($1) } }

    /// Undoes the filter of each row: a byte was stored as its difference from what its neighbours foretell.
    private static func unfiltered(_ rows: [UInt8], row: Int, height: Int, step: Int) throws -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: row * height)
        for y in 0..<height {
            let filter = rows[y * (row + 1)]
            guard filter <= 4 else { throw Fault(what: "The PNG file has the unknown filter \(filter)") }
            for x in 0..<row {
                let at = y * row + x
                let left = x < step ? 0 : Int(pixels[at - step])
                let up = y == 0 ? 0 : Int(pixels[at - row])
                let corner = x < step || y == 0 ? 0 : Int(pixels[at - row - step])
                let foretold =
                    switch filter {
                    case 0: 0
                    case 1: left
                    case 2: up
                    case 3: (left + up) / 2
                    default: paeth(left, up, corner)
                    }
                pixels[at] = rows[y * (row + 1) + 1 + x] &+ UInt8(foretold)
            }
        }
        return pixels
    }

    private static func paeth(_ left: Int, _ up: Int, _ corner: Int) -> Int {
        let guess = left + up - corner
        let (toLeft, toUp, toCorner) = (abs(guess - left), abs(guess - up), abs(guess - corner))
        if toLeft <= toUp && toLeft <= toCorner { return left }
        return toUp <= toCorner ? up : corner
    }
}
