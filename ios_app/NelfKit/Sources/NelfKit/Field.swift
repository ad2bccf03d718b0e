import Foundation

/// One value of a manifest and where it stands, with what the schema says of values: type, range, length.
struct Field {
    struct Fault: Error {
        let path, what: String
    }

    let path: String
    let json: JSON

    init(_ json: JSON, path: String = "the top") {
        self.json = json
        self.path = path
    }

    private func fault(_ what: String) -> Fault { Fault(path: path, what: what) }

    private func below(_ name: String) -> String { path == "the top" ? name : "\(path).\(name)" }

    /// The member `key`, or nil.
    func optional(_ key: String) throws -> Field? {
        guard case .object(let members) = json else { throw fault("no object") }
        return members[key].map { Field($0, path: below(key)) }
    }

    /// The member `key`.
    subscript(key: String) -> Field {
        get throws {
            guard let member = try optional(key) else { throw fault("\(key) is missing") }
            return member
        }
    }

    func text() throws -> String {
        guard case .string(let value) = json else { throw fault("no string") }
        return value
    }

    func name() throws -> String {
        let value = try text()
        if value.isEmpty { throw fault("empty") }
        return value
    }

    func one(of allowed: [String]) throws -> String {
        let value = try text()
        guard allowed.contains(value) else { throw fault("\(value) is none of \(allowed.joined(separator: ", "))") }
        return value
    }

    func number(in range: ClosedRange<Double> = -Double.infinity...Double.infinity) throws -> Double {
        guard case .number(let value) = json else { throw fault("no number") }
        guard range.contains(value) else { throw fault("\(value) is out of range") }
        return value
    }

    func positive() throws -> Double {
        let value = try number()
        guard value > 0 else { throw fault("\(value) is not positive") }
        return value
    }

    func integer(in range: ClosedRange<Int> = 1...(1 << 53 - 1)) throws -> Int {
        let value = try number()
        guard value == value.rounded(), abs(value) < 0x1p53, range.contains(Int(value)) else {
            throw fault("\(value) is no integer in range")
        }
        return Int(value)
    }

    func items() throws -> [Field] {
        guard case .array(let items) = json else { throw fault("no list") }
        return items.enumerated().map { Field($1, path: "\(path).\($0)") }
    }

    func numbers(_ count: Int, in range: ClosedRange<Double> = -Double.infinity...Double.infinity) throws -> [Double] {
        let items = try items()
        guard items.count == count else { throw fault("\(items.count) numbers, not \(count)") }
        return try items.map { try $0.number(in: range) }
    }

    func vector() throws -> Vector { Vector(try numbers(3)) }

    func pose() throws -> Pose { Pose(rows: try numbers(12)) }

    func range(in range: ClosedRange<Double>) throws -> Range {
        let ends = try numbers(2, in: range)
        return Range(low: ends[0], high: ends[1])
    }

    /// An object whose values are all strings.
    func texts() throws {
        guard case .object(let members) = json else { throw fault("no object") }
        for key in members.keys { _ = try self[key].text() }
    }
}
