import Foundation

/// Times of one model rendered over and over: a warm-up, a measured time, a sustained one. Its report is what
/// `nelf bench` reads of every device (docs/devices.md); tests/vectors/benchmark.json holds it to the other languages.
public struct Benchmark {
    private static let sampleSeconds = 10.0
    private static let measuredPhase = 1

    /// What the device says of itself.
    public struct Device: Encodable {
        let type = "app"
        let manufacturer, model, soc, os, app: String

        public init(manufacturer: String, model: String, soc: String, os: String, app: String) {
            (self.manufacturer, self.model, self.soc, self.os, self.app) = (manufacturer, model, soc, os, app)
        }
    }

    /// How long to measure; `minutes`: of the sustained run, or nil for none.
    public struct Plan: Equatable, Sendable {
        public let warmUpSeconds, seconds: Double
        public let minutes: Double?

        public init(warmUpSeconds: Double, seconds: Double, minutes: Double?) {
            (self.warmUpSeconds, self.seconds, self.minutes) = (warmUpSeconds, seconds, minutes)
        }
    }

    /// How warm the device is, and its battery. Nil where the system does not say; docs/devices.md has the units.
    public struct Condition {
        let thermalStatus: Int?
        let headroom, batteryCelsius, batteryPercent, batteryMilliamperes, batteryVolts: Double?
        let charging: Bool?

        public init(
            thermalStatus: Int? = nil, headroom: Double? = nil, batteryCelsius: Double? = nil,
            batteryPercent: Double? = nil, batteryMilliamperes: Double? = nil, batteryVolts: Double? = nil,
            charging: Bool? = nil
        ) {
            self.thermalStatus = thermalStatus
            self.headroom = headroom
            self.batteryCelsius = batteryCelsius
            self.batteryPercent = batteryPercent
            self.batteryMilliamperes = batteryMilliamperes
            self.batteryVolts = batteryVolts
            self.charging = charging
        }
    }

    private let plan: Plan
    private let sample: () -> Condition
    private let lengths: [Double]
    private var measured = Course()
    private var sustained = Course()
    private var conditions: [BenchmarkReport.Condition] = []
    private var phase = 0
    private var phaseStart = 0.0
    private var measuredStart = 0.0
    private var nextSample = 0.0

    /// The warm-up begins `now`, in seconds of any clock. `sample` is asked when the measured time begins, and then every
    /// 10 seconds.
    public init(_ plan: Plan, at now: Double, sample: @escaping () -> Condition) {
        self.plan = plan
        self.sample = sample
        lengths = [plan.warmUpSeconds, plan.seconds, 60 * (plan.minutes ?? 0)]
        enter(0, now)
    }

    /// Samples so far: after a new one the report has more to tell.
    public var samples: Int { conditions.count }

    /// The model took `milliseconds` for a frame and was done at `now`. Returns whether to go on.
    public mutating func add(_ milliseconds: Double, at now: Double) -> Bool {
        if phase >= lengths.count { return false }
        let past = now - phaseStart
        if phase == Self.measuredPhase { measured.add(milliseconds, past) }
        if phase > Self.measuredPhase { sustained.add(milliseconds, past) }
        if phase >= Self.measuredPhase { takeSample(now - measuredStart) }
        if past >= lengths[phase] { enter(phase + 1, now) }
        return phase < lengths.count
    }

    /// Phases of no length are passed over.
    private mutating func enter(_ next: Int, _ now: Double) {
        phase = next
        while phase < lengths.count && lengths[phase] <= 0 { phase += 1 }
        phaseStart = now
        if phase == Self.measuredPhase {
            measuredStart = now
            takeSample(0)
        }
    }

    private mutating func takeSample(_ second: Double) {
        if second < nextSample { return }
        conditions.append(BenchmarkReport.Condition(second, sample()))
        while nextSample <= second { nextSample += Self.sampleSeconds }
    }

    /// The file's content so far. `units`: what Core ML was allowed to use; which of them ran is its own choice.
    /// `stopped`: why it was cut short. `visible`: whether the app was in front all the time.
    public func report(
        token: String, manifest: Manifest, device: Device, units: ComputeUnits, loadMilliseconds: Double,
        firstMilliseconds: Double, memoryMegabytes: Double?, stopped: String? = nil, visible: Bool = true
    ) throws -> Data {
        var report = BenchmarkReport(token: token, plan: plan, device: device)
        report.finished = stopped == nil && phase >= lengths.count
        report.stopped = Nullable(stopped)
        report.visible = visible
        if measured.count > 0 {
            report.results = [
                BenchmarkReport.Result(
                    bundle: manifest.name, modelSha256: manifest.files.first { $0.role == .model }?.sha256 ?? "",
                    backend: units.accelerator, loadMilliseconds: loadMilliseconds,
                    firstFrameMilliseconds: loadMilliseconds + firstMilliseconds, frames: measured.count,
                    rate: measured.past > 0 ? Double(measured.count) / measured.past : 0,
                    latency: measured.latency, sustained: (sustained.count > 0 ? sustained : measured).windows,
                    conditions: conditions, memoryMb: Nullable(memoryMegabytes))
            ]
        }
        return try report.json()
    }

    /// The file's content where nothing can be measured, for the one-line reason `error`.
    public static func failure(token: String, plan: Plan, device: Device, error: String) throws -> Data {
        var report = BenchmarkReport(token: token, plan: plan, device: device)
        report.stopped = Nullable(error)
        return try report.json()
    }
}

/// The times of one phase, and those of each of its seconds.
private struct Course {
    private var times: [Double] = []
    private var windowStart = 0
    private(set) var windows: [BenchmarkReport.Window] = []
    /// From the start of the phase to its last frame, in seconds.
    private(set) var past = 0.0

    init() { times.reserveCapacity(1 << 16) }

    var count: Int { times.count }

    mutating func add(_ milliseconds: Double, _ past: Double) {
        while windows.count < Int(past) { closeWindow() }
        times.append(milliseconds)
        self.past = past
    }

    /// In a second without a frame one takes at least that second.
    private mutating func closeWindow() {
        let sorted = times[windowStart...].sorted()
        let median = sorted.isEmpty ? 1000 : nearestRank(50, of: sorted)
        windows.append(BenchmarkReport.Window(second: windows.count, frames: sorted.count, median: median))
        windowStart = times.count
    }

    var latency: BenchmarkReport.Latency {
        let sorted = times.sorted()
        return BenchmarkReport.Latency(
            median: nearestRank(50, of: sorted), p90: nearestRank(90, of: sorted), p95: nearestRank(95, of: sorted),
            mean: sorted.reduce(0, +) / Double(max(sorted.count, 1)))
    }
}
