import Foundation

extension Manifest {
    /// The target of `nelf export` whose bundles this app shows.
    static let appTarget = "ios"
    static let format = "nelf-bundle"
    static let majors = ["2", "3"]
    static let file = "manifest.json"
    static let mostBytes = 4 << 20

    /// Reads and checks the content of a `manifest.json`; the files are another matter (`SceneBundle`).
    public init(_ data: Data) throws {
        try require(data.count <= Self.mostBytes, "it has more than \(Self.mostBytes) bytes")
        // Foundation guesses UTF-16 and UTF-32 too, from a byte order mark or from zeros.
        try require(!data.contains(0) && String(data: data, encoding: .utf8) != nil, "it is not UTF-8")
        // Looks at all of it, where a decoder skips the keys that it does not know.
        guard !Self.hasCommaTooMany(data),
            let json = try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)
        else { throw BundleError(.invalidManifest, "The manifest is not JSON") }
        guard let members = json as? [String: Any], members["format"] as? String == Self.format else {
            throw BundleError(.notABundle, "This is not the manifest of a nelf bundle")
        }
        // Before all other keys: another version has other keys.
        if let version = members["version"] as? String, !Self.majors.contains(String(version.prefix { $0 != "." })) {
            let read = Self.majors.joined(separator: " and ")
            throw BundleError(
                .unsupportedVersion, "The bundle has format version \(version); this app reads \(read)")
        }
        do {
            self = try JSONDecoder().decode(Manifest.self, from: data)
        } catch let error as DecodingError {
            throw BundleError(.invalidManifest, "The manifest is wrong: \(error.line)")
        }
        try check()
    }

    /// Whether a comma stands before a closing bracket, which Foundation takes.
    private static func hasCommaTooMany(_ data: Data) -> Bool {
        var (last, inText, escaped) = (Character(" "), false, false)
        for byte in data {
            let character = Character(UnicodeScalar(byte))
            if escaped {
                escaped = false
            } else if inText {
                escaped = character == "\\"
                inText = character != "\""
            } else if !character.isWhitespace {
                if last == ",", character == "]" || character == "}" { return true }
                inText = character == "\""
                last = character
            }
        }
        return false
    }

    /// Why this app does not show the bundle, which is all right; nil: it does.
    public var unsupported: BundleError? {
        if target != Self.appTarget { return BundleError(.unsupportedTarget, "The bundle is for \(target)") }
        if model.output.isTensor || (model.output.isPicture && program == nil) { return nil }
        return BundleError(
            .unsupportedTarget, "The model gives \(model.output.dtype) in the layout \(model.output.layout)")
    }
}

extension Vector: Decodable {
    public init(from decoder: any Decoder) throws { self.init(try decoder.numbers(3)) }
}

extension Range: Decodable {
    public init(from decoder: any Decoder) throws {
        let ends = try decoder.numbers(2)
        self.init(low: ends[0], high: ends[1])
    }
}

extension Pose: Decodable {
    public init(from decoder: any Decoder) throws { self.init(rows: try decoder.numbers(12)) }
}

extension Region: Decodable {
    private enum CodingKeys: CodingKey {
        case type
    }

    private enum Name: String, Decodable {
        case orbit, box
    }

    public init(from decoder: any Decoder) throws {
        switch try decoder.container(keyedBy: CodingKeys.self).decode(Name.self, forKey: .type) {
        case .orbit: self = .orbit(try OrbitRegion(from: decoder))
        case .box: self = .box(try BoxRegion(from: decoder))
        }
    }
}

extension Parity: Decodable {
    private enum CodingKeys: CodingKey {
        case status, reason
    }

    private enum Status: String, Decodable {
        case passed
        case notRun = "not_run"
    }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: CodingKeys.self)
        switch try members.decode(Status.self, forKey: .status) {
        case .passed: self = .passed(try Measurement(from: decoder))
        case .notRun: self = .notRun(reason: try members.decode(String.self, forKey: .reason))
        }
    }
}

extension Decoder {
    /// A list of `count` numbers.
    fileprivate func numbers(_ count: Int) throws -> [Double] {
        let numbers = try [Double](from: self)
        guard numbers.count == count else {
            let what = "\(numbers.count) numbers, not \(count)"
            throw DecodingError.dataCorrupted(DecodingError.Context(codingPath: codingPath, debugDescription: what))
        }
        return numbers
    }
}

extension DecodingError {
    /// Where it is wrong, and what is.
    fileprivate var line: String {
        switch self {
        case .keyNotFound(let key, let context): "\(key.stringValue) is missing\(context.place)"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            "\(context.debugDescription)\(context.place)"
        @unknown default: localizedDescription
        }
    }
}

extension DecodingError.Context {
    fileprivate var place: String {
        codingPath.isEmpty ? "" : " (at \(codingPath.map(\.stringValue).joined(separator: ".")))"
    }
}

func require(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    if !holds { throw BundleError(.invalidManifest, "The manifest is wrong: \(what())") }
}

/// What types cannot say: ranges, and whether the numbers of a manifest fit together.
extension Manifest {
    /// Of a length: directions are stored in single precision.
    private static let unitTolerance = 1e-3
    private static let rigidTolerance = 1e-2
    private static let largestSide = 8192

    private func check() throws {
        let minor = version.utf8.drop { $0 != UInt8(ascii: ".") }.dropFirst()
        try require(!minor.isEmpty && minor.allSatisfy(Self.isDigit), "version \(version) is not of the form 2.0")
        var texts = [name, target, precision, model.path, model.input.name, model.output.name, golden, student.name]
        texts += files.map(\.path)
        try require(texts.allSatisfy { !$0.isEmpty }, "a name or a path is empty")
        try checkImage()
        try checkCamera()
        switch region {
        case .orbit(let orbit): try check(orbit)
        case .box(let box): try check(box)
        }
        try checkFiles()
        try program?.check(image, version)
        try checkParity()
        try require(student.parameters > 0 && student.macs > 0, "the student has no parameters or no multiply-adds")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private func checkImage() throws {
        let sides = 1...Self.largestSide
        try require(sides ~= image.width && sides ~= image.height, "the image is \(image.width) x \(image.height)")
        try require(3...4 ~= image.channels, "the image has \(image.channels) channels")
        try require(
            (image.alpha == .premultiplied) == image.hasAlpha, "alpha is \(image.alpha) with \(image.channels) channels"
        )
        try require(
            image.background.count == 3 && image.background.allSatisfy { 0...1 ~= $0 }, "the background is not a colour"
        )
        let shape = [1, image.height, image.width, image.channels]
        try require(
            model.input.shape == [1, 3, 4] && model.input.dtype == .float32,
            "the model takes \(model.input.dtype) of shape \(model.input.shape), not a pose")
        try require(model.output.shape == shape, "the model gives the shape \(model.output.shape), not \(shape)")
    }

    private func checkCamera() throws {
        let lens = camera.intrinsics
        try require(lens.count == 4 && lens[0] > 0 && lens[1] > 0, "the intrinsics are \(lens)")
        try require(0 < camera.near && camera.near < camera.far, "depths are \(camera.near) to \(camera.far)")
        try requireUnit(camera.up, "camera.up")
    }

    private func check(_ orbit: OrbitRegion) throws {
        try requireUnit(orbit.up, "region.up")
        try requireUnit(orbit.azimuthZero, "region.azimuth_zero")
        try require(
            abs(orbit.up.dot(orbit.azimuthZero)) <= Self.unitTolerance,
            "region.azimuth_zero is not at right angles to region.up")
        try requireOrder(orbit.radius.low, orbit.radius.high, from: 0)
        try requireOrder(orbit.elevation.low, orbit.elevation.high, from: -90, to: 90)
        try require(0...360 ~= orbit.azimuthWidth, "an arc of \(orbit.azimuthWidth) degrees")
    }

    private func check(_ box: BoxRegion) throws {
        try requireOrder(box.low.x, box.high.x)
        try requireOrder(box.low.y, box.high.y)
        try requireOrder(box.low.z, box.high.z)
        for angle in [box.angle, box.maxAngle ?? 0] { try require(0...180 ~= angle, "an angle of \(angle) degrees") }
        try require(box.maxDistance ?? 0 >= 0, "max_distance is negative")
        let cameras = box.nearby?.cameras ?? []
        try require(box.cameras == nil || !cameras.isEmpty, "cameras is empty, or without max_distance or max_angle")
        for pose in [box.reference] + cameras {
            try require(pose.isRigid(within: Self.rigidTolerance), "a pose of the region is not rigid")
        }
    }

    private func checkFiles() throws {
        try require(!files.isEmpty, "files is empty")
        for file in files {
            let digits = file.sha256.utf8
            let hexadecimal = digits.allSatisfy { Self.isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")) ~= $0 }
            try require(digits.count == 64 && hexadecimal, "the SHA-256 of \(file.path) is \(file.sha256)")
            try require(0...(1 << 53 - 1) ~= file.bytes, "\(file.path) has \(file.bytes) bytes")
        }
    }

    private func checkParity() throws {
        switch parity {
        case .notRun(let reason): try require(!reason.isEmpty, "parity has no reason")
        case .passed(let measured):
            try require(!measured.runtime.isEmpty && measured.views >= 8, "parity is of \(measured.views) views")
            try require(measured.maxAbs >= 0 && measured.allowedMaxAbs >= 0, "an error of parity is negative")
        }
    }

    private func requireUnit(_ direction: Vector, _ name: String) throws {
        try require(abs(direction.length - 1) <= Self.unitTolerance, "\(name) does not have length 1")
    }

    private func requireOrder(
        _ low: Double, _ high: Double, from least: Double = -.infinity, to most: Double = .infinity
    ) throws {
        try require(least <= low && low <= high && high <= most, "the region has a range from \(low) to \(high)")
    }
}

extension Pose {
    /// Whether the rotation is one: orthonormal rows to within `tolerance`, right-handed.
    func isRigid(within tolerance: Double) -> Bool {
        let values = rows
        let axes = (0..<3).map { Vector(values, from: 4 * $0) }
        for (i, a) in axes.enumerated() {
            for (j, b) in axes.enumerated() where !(abs(a.dot(b) - (i == j ? 1 : 0)) < tolerance) { return false }
        }
        return axes[0].cross(axes[1]).dot(axes[2]) > 0
    }
}
