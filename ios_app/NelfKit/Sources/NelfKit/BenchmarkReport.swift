import Foundation

/// The report of docs/devices.md: its keys are these names in snake case. At first nothing is measured.
struct BenchmarkReport: Encodable {
    struct Plan: Encodable {
        let warmUpSeconds, seconds: Double
        let minutes: Nullable<Double>
    }

    struct Window: Encodable {
        let second, frames: Int
        let median: Double
    }

    struct Latency: Encodable {
        let median, p90, p95, mean: Double
    }

    struct Condition: Encodable {
        let second: Double
        let thermalStatus: Nullable<Int>
        let headroom, batteryCelsius, batteryPercent, batteryMilliamperes, batteryVolts: Nullable<Double>
        let charging: Nullable<Bool>

        init(_ second: Double, _ now: Benchmark.Condition) {
            self.second = second
            thermalStatus = Nullable(now.thermalStatus)
            headroom = Nullable(now.headroom)
            batteryCelsius = Nullable(now.batteryCelsius)
            batteryPercent = Nullable(now.batteryPercent)
            batteryMilliamperes = Nullable(now.batteryMilliamperes)
            batteryVolts = Nullable(now.batteryVolts)
            charging = Nullable(now.charging)
        }
    }

    struct Result: Encodable {
        let bundle, modelSha256, backend: String
        /// Core ML does not say what it passed over, nor how many threads compute.
        let passedOver: [String] = []
        let threads = 0
        let loadMilliseconds, firstFrameMilliseconds: Double
        let frames: Int
        let rate: Double
        let latency: Latency
        let sustained: [Window]
        let conditions: [Condition]
        let memoryMb: Nullable<Double>
        let goldenPsnr = Nullable<Double>(nil)
    }

    let `protocol` = 2
    let token: String
    let plan: Plan
    var finished = false
    var stopped = Nullable<String>(nil)
    let device: Benchmark.Device
    var results: [Result] = []
    var visible = true

    init(token: String, plan: Benchmark.Plan, device: Benchmark.Device) {
        self.token = token
        self.plan = Plan(
            warmUpSeconds: plan.warmUpSeconds, seconds: plan.seconds, minutes: Nullable(plan.minutes))
        self.device = device
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
