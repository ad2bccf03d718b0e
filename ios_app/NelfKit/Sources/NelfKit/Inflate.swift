import Foundation

/// Unpacks zlib's format (RFC 1950, 1951). Written out: Foundation has it on Apple's systems only.
struct Inflate {
    struct Fault: Error, Equatable {
        let what: String
    }

    /// The `count` bytes that `packed` unpacks to.
    static func bytes(_ packed: [UInt8], count: Int) throws -> [UInt8] {
        var inflate = Inflate(packed: packed, count: count)
        try inflate.run()
        return inflate.out
    }

    /// A canonical Huffman code: how many codes have each length, and their symbols in order.
    private struct Code {
        var counts = [Int](repeating: 0, count: 16)
        var symbols: [Int] = []

        init(_ lengths: ArraySlice<Int>) {
            for length in lengths where length > 0 { counts[length] += 1 }
            for length in 1...15 {
                for (symbol, its) in lengths.enumerated() where its == length { symbols.append(symbol) }
            }
        }
    }

    private static let fixed = (
        Code(
            (Array(repeating: 8, count: 144) + Array(repeating: 9, count: 112) + Array(repeating: 7, count: 24)
                + Array(repeating: 8, count: 8))[...]), Code(Array(repeating: 5, count: 30)[...])
    )
    /// Length and distance of a match: the least of each symbol, and how many bits follow.
    private static let lengths = ranges(from: 3, symbols: 28, perStep: 4) + [(258, 0)]
    private static let distances = ranges(from: 1, symbols: 30, perStep: 2)
    private static let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    private static func ranges(from first: Int, symbols: Int, perStep: Int) -> [(least: Int, bits: Int)] {
        var least = first
        return (0..<symbols).map { symbol in
            let bits = max(symbol / perStep - 1, 0)
            defer { least += 1 << bits }
            return (least, bits)
        }
    }

    private let packed: [UInt8]
    private let count: Int
    private var at = 2
    private var held = 0
    private var heldBits = 0
    private var out: [UInt8] = []

    private init(packed: [UInt8], count: Int) {
        self.packed = packed
        self.count = count
        out.reserveCapacity(count)
    }

    private mutating func run() throws {
        guard packed.count > 2, packed[0] & 15 == 8, (Int(packed[0]) << 8 + Int(packed[1])) % 31 == 0,
            packed[1] & 32 == 0
        else { throw Fault(what: "no zlib data") }
        var last = false
        while !last {
            last = try bits(1) == 1
            switch try bits(2) {
            case 0: try stored()
            case 1: try block(Self.fixed.0, Self.fixed.1)
            case 2: try dynamic()
            default: throw Fault(what: "a block of no kind")
            }
        }
        if out.count < count { throw Fault(what: "too little") }
    }

    private mutating func bits(_ wanted: Int) throws -> Int {
        while heldBits < wanted {
            guard at < packed.count else { throw Fault(what: "cut short") }
            held |= Int(packed[at]) << heldBits
            at += 1
            heldBits += 8
        }
        defer {
            held >>= wanted
            heldBits -= wanted
        }
        return held & (1 << wanted - 1)
    }

    private mutating func symbol(_ code: Code) throws -> Int {
        var (value, first, index) = (0, 0, 0)
        for length in 1...15 {
            value |= try bits(1)
            let here = code.counts[length]
            if value - first < here { return code.symbols[index + value - first] }
            index += here
            first = (first + here) << 1
            value <<= 1
        }
        throw Fault(what: "an unknown code")
    }

    private mutating func put(_ byte: UInt8) throws {
        guard out.count < count else { throw Fault(what: "too much") }
        out.append(byte)
    }

    private mutating func stored() throws {
        (held, heldBits) = (0, 0)  // the rest of the byte
        let length = try bits(16)
        guard try bits(16) == length ^ 0xFFFF else { throw Fault(what: "a length that is damaged") }
        for _ in 0..<length { try put(UInt8(try bits(8))) }
    }

    private mutating func dynamic() throws {
        let (literals, distances, given) = (try bits(5) + 257, try bits(5) + 1, try bits(4) + 4)
        var sizes = [Int](repeating: 0, count: 19)
        for place in Self.order.prefix(given) { sizes[place] = try bits(3) }
        let code = Code(sizes[...])
        var lengths: [Int] = []
        while lengths.count < literals + distances {
            let next = try symbol(code)
            switch next {
            case 16:
                guard let before = lengths.last else { throw Fault(what: "nothing to repeat") }
                lengths += Array(repeating: before, count: try bits(2) + 3)
            case 17: lengths += Array(repeating: 0, count: try bits(3) + 3)
            case 18: lengths += Array(repeating: 0, count: try bits(7) + 11)
            default: lengths.append(next)
            }
        }
        guard lengths.count == literals + distances else { throw Fault(what: "too many codes") }
        try block(Code(lengths[..<literals]), Code(lengths[literals...]))
    }

    private mutating func block(_ literals: Code, _ distances: Code) throws {
        while true {
            let next = try symbol(literals)
            if next == 256 { return }
            if next < 256 {
                try put(UInt8(next))
                continue
            }
            guard next - 257 < Self.lengths.count else { throw Fault(what: "an unknown length") }
            let (least, extra) = Self.lengths[next - 257]
            let length = least + (try bits(extra))
            let farther = try symbol(distances)
            guard farther < Self.distances.count else { throw Fault(what: "an unknown distance") }
            let (nearest, more) = Self.distances[farther]
            let distance = nearest + (try bits(more))
            guard distance <= out.count else { throw Fault(what: "a match before the beginning") }
            for _ in 0..<length { try put(out[out.count - distance]) }
        }
    }
}
