import Foundation

/// A JSON value, read strictly (RFC 8259).
///
/// Foundation's reader takes `true` for 1 on Apple's systems, and not on Linux; a manifest must mean the same on both.
enum JSON: Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// Why bytes are no JSON, and at which of them.
    struct Fault: Error, Equatable {
        let what: String
        let position: Int
    }

    init(_ bytes: some Sequence<UInt8>) throws {
        var parser = Parser(bytes: Array(bytes))
        self = try parser.document()
    }
}

private struct Parser {
    /// Objects and lists inside each other, at most; docs/viewers.md.
    private static let deepest = 64

    let bytes: [UInt8]
    private var at = 0
    private var depth = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws -> JSON {
        guard String(validatingUTF8: bytes.map { CChar(bitPattern: $0) } + [0]) != nil else {
            throw fault("no UTF-8")
        }
        let value = try value()
        skipSpace()
        guard at == bytes.count else { throw fault("something after the end") }
        return value
    }

    private func fault(_ what: String) -> JSON.Fault { JSON.Fault(what: what, position: at) }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { at += 1 }
    }

    private mutating func take(_ character: Character) -> Bool {
        guard next == character.asciiValue else { return false }
        at += 1
        return true
    }

    private mutating func word(_ word: String, _ value: JSON) throws -> JSON {
        guard bytes[at...].starts(with: word.utf8) else { throw fault("no value") }
        at += word.utf8.count
        return value
    }

    private mutating func value() throws -> JSON {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return .number(try number())
        }
    }

    /// Opens a level; the caller has seen its bracket.
    private mutating func enter() throws {
        at += 1
        depth += 1
        if depth > Self.deepest { throw fault("nested too deep") }
        skipSpace()
    }

    private mutating func object() throws -> [String: JSON] {
        try enter()
        var members: [String: JSON] = [:]
        if !take("}") {
            repeat {
                skipSpace()
                guard next == UInt8(ascii: "\"") else { throw fault("no key") }
                let key = try string()
                skipSpace()
                guard take(":") else { throw fault("no colon") }
                members[key] = try value()
                skipSpace()
            } while take(",")
            guard take("}") else { throw fault("an object without end") }
        }
        depth -= 1
        return members
    }

    private mutating func array() throws -> [JSON] {
        try enter()
        var items: [JSON] = []
        if !take("]") {
            repeat {
                items.append(try value())
                skipSpace()
            } while take(",")
            guard take("]") else { throw fault("a list without end") }
        }
        depth -= 1
        return items
    }

    private mutating func string() throws -> String {
        at += 1
        var units: [UInt8] = []
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: units, as: UTF8.self)
            case UInt8(ascii: "\\"): units += Array(String(try escape()).utf8)
            case 0..<0x20: throw fault("a control character in a string")
            default: units.append(byte)
            }
        }
        throw fault("a string without end")
    }

    private mutating func escape() throws -> Character {
        guard let byte = next else { throw fault("a string without end") }
        at += 1
        switch byte {
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "u"): return Character(try unicode())
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Character(UnicodeScalar(byte))
        default: throw fault("an unknown escape")
        }
    }

    private mutating func unicode() throws -> Unicode.Scalar {
        let first = try hexadecimal()
        guard (0xD800..<0xDC00).contains(first) else { return Unicode.Scalar(first) ?? "\u{FFFD}" }
        let mark = at
        if take("\\"), take("u") {
            let second = try hexadecimal()
            if (0xDC00..<0xE000).contains(second) {
                return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
            }
        }
        at = mark
        return "\u{FFFD}"
    }

    private mutating func hexadecimal() throws -> UInt32 {
        guard at + 4 <= bytes.count else { throw fault("a string without end") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(UnicodeScalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else {
                throw fault("no hexadecimal digit")
            }
            value = value * 16 + UInt32(digit)
            at += 1
        }
        return value
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { at += 1 }
        return at - start
    }

    private mutating func number() throws -> Double {
        let start = at
        _ = take("-")
        if !take("0"), digits() == 0 { throw fault("no value") }
        if take("."), digits() == 0 { throw fault("a number without decimals") }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            if digits() == 0 { throw fault("a number without exponent") }
        }
        guard let value = Double(String(decoding: bytes[start..<at], as: UTF8.self)), value.isFinite else {
            throw fault("a number out of range")
        }
        return value
    }
}
