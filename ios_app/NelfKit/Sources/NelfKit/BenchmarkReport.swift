import Foundation

/// docs/benchmark.md's file: its keys are these names in snake case. At first nothing is measured.
struct BenchmarkReport: Encodable {
    struct Window: Encodable {
        let seconds: Double
        let frames: Int
        let medianMs, p90Ms: Double
    }

    struct Thermal: Encodable {
        let seconds: Double
        let status: Int
        let headroom = Nullable<Double>(nil)
        let batteryC = Nullable<Double>(nil)
    }

    let format = "nelf-app-benchmark"
    let version = "1.0"
    let token, model: String
    var modelSha256 = ""
    let accelerator, computeUnits: String
    let fallbacks: [String] = []
    let device: Benchmark.Device
    var loadMs = 0.0
    var firstMs = 0.0
    var warmupFrames = 0
    var frames = 0
    var seconds = 0.0
    var medianMs = 0.0
    var p90Ms = 0.0
    var p99Ms = 0.0
    var meanMs = 0.0
    var minMs = 0.0
    var maxMs = 0.0
    var windows: [Window] = []
    var thermal: [Thermal] = []
    var memoryMb = Nullable<Double>(nil)
    var error = Nullable<String>(nil)

    init(token: String, model: String, device: Benchmark.Device, units: ComputeUnits) {
        self.token = token
        self.model = model
        self.device = device
        accelerator = units.accelerator
        computeUnits = units.rawValue
    }

    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return try encoder.encode(self)
    }
}

/// A value that is written as null where there is none, instead of being left out.
struct Nullable<Value: Encodable>: Encodable {
    let value: Value?

    init(_ value: Value?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value { try container.encode(value) } else { try container.encodeNil() }
    }
}
