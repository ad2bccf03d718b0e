import Foundation

/// The keys of a manifest, as nelf/export/manifest.schema.json has them.
extension Manifest {
    init(_ top: Field) throws {
        let version = try top["version"].text().split(separator: ".", omittingEmptySubsequences: false)
        let digits = version.count == 2 ? version[1].utf8 : "".utf8[...]
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw Field.Fault(path: "version", what: "not of the form 1.N")
        }
        name = try top["name"].name()
        kind = try top["kind"].one(of: ["object", "forward-facing", "unbounded"])
        target = try top["target"].name()
        precision = try top["precision"].name()
        image = try ImageInfo(top["image"])
        camera = try CameraInfo(top["camera"])
        region = try Region(top["region"])
        model = try ModelInfo(top["model"])
        files = try top["files"].items().map(FileInfo.init)
        if files.isEmpty { throw Field.Fault(path: "files", what: "empty") }
        golden = try top["golden"].name()
        parity = try Parity(top["parity"])
        student = try StudentInfo(top["student"])
        try top["deployment"].texts()
        try top["provenance"]["versions"].texts()
    }
}

extension ImageInfo {
    static let largest = 8192

    init(_ field: Field) throws {
        width = try field["width"].integer(in: 1...Self.largest)
        height = try field["height"].integer(in: 1...Self.largest)
        channels = try field["channels"].integer(in: 3...4)
        alpha = try field["alpha"].one(of: ["premultiplied", "none"])
        background = try field["background"].numbers(3, in: 0...1)
    }
}

extension CameraInfo {
    init(_ field: Field) throws {
        _ = try field["axes"].one(of: ["opengl"])
        intrinsics = try field["intrinsics"].numbers(4)
        for focal in try field["intrinsics"].items().prefix(2) { _ = try focal.positive() }
        near = try field["near"].positive()
        far = try field["far"].positive()
        up = try field["up"].vector()
        focus = try field["focus"].vector()
    }
}

extension Region {
    init(_ field: Field) throws {
        switch try field["type"].one(of: ["shell", "box"]) {
        case "shell": self = .orbit(try OrbitRegion(field))
        default: self = .box(try BoxRegion(field))
        }
    }
}

extension OrbitRegion {
    init(_ field: Field) throws {
        center = try field["center"].vector()
        up = try field["up"].vector()
        radius = try field["radius"].range(in: 0...Double.infinity)
        elevation = try field["elevation"].range(in: -90...90)
        azimuthZero = try field["azimuth_zero"].vector()
        azimuthStart = try field["azimuth_start"].number()
        azimuthWidth = try field["azimuth_width"].number(in: 0...360)
    }
}

extension BoxRegion {
    init(_ field: Field) throws {
        reference = try field["reference"].pose()
        low = try field["low"].vector()
        high = try field["high"].vector()
        angle = try field["angle"].number(in: 0...180)
        let reach = try field.optional("reach")?.number(in: 0...Double.infinity)
        let turn = try field.optional("turn")?.number(in: 0...180)
        guard let cameras = try field.optional("cameras")?.items().map({ try $0.pose() }) else {
            covered = nil
            return
        }
        guard let reach, let turn, !cameras.isEmpty else {
            throw Field.Fault(path: "region.cameras", what: "without reach or turn, or empty")
        }
        covered = CoveredCameras(cameras: cameras, reach: reach, turn: turn)
    }
}

extension ModelInfo {
    init(_ field: Field) throws {
        path = try field["path"].name()
        input = try TensorInfo(field["input"], "float32")
        output = try TensorInfo(field["output"], "float32", "uint8")
    }
}

extension TensorInfo {
    init(_ field: Field, _ dtypes: String...) throws {
        name = try field["name"].name()
        shape = try field["shape"].items().map { try $0.integer() }
        dtype = try field["dtype"].one(of: dtypes)
        layout = try field["layout"].text()
    }
}

extension FileInfo {
    init(_ field: Field) throws {
        path = try field["path"].name()
        role = try field["role"].one(of: ["model", "golden", "page"])
        bytes = try field["bytes"].integer(in: 0...(1 << 53 - 1))
        sha256 = try field["sha256"].text()
        let hexadecimal = sha256.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard sha256.utf8.count == 64, hexadecimal else {
            throw Field.Fault(path: "\(field.path).sha256", what: "not 64 hexadecimal digits")
        }
    }
}

extension Parity {
    init(_ field: Field) throws {
        status = try field["status"].one(of: ["passed", "not_run"])
        guard status == "passed" else {
            _ = try field["reason"].name()
            (psnrMin, requiredPSNR) = (nil, nil)
            return
        }
        _ = try field["compared_with"].one(of: ["pytorch"])
        _ = try field["runtime"].name()
        _ = try field["views"].integer(in: 8...(1 << 53 - 1))
        psnrMin = try field["psnr_min"].number()
        _ = try field["psnr_mean"].number()
        _ = try field["max_abs"].number(in: 0...Double.infinity)
        requiredPSNR = try field["required_psnr"].number()
        _ = try field["allowed_max_abs"].number(in: 0...Double.infinity)
    }
}

extension StudentInfo {
    init(_ field: Field) throws {
        name = try field["name"].name()
        parameters = try field["parameters"].integer()
        macs = try field["macs"].integer()
    }
}
