import Foundation

/// Times of one model rendered over and over, as the file that docs/benchmark.md describes.
public struct Benchmark {
    public static let warmupFrames = 20
    private static let windowSeconds = 10.0

    /// What the device says of itself.
    public struct Device: Encodable {
        let manufacturer, model, soc, os, app: String

        public init(manufacturer: String, model: String, soc: String, os: String, app: String) {
            (self.manufacturer, self.model, self.soc, self.os, self.app) = (manufacturer, model, soc, os, app)
        }
    }

    private let seconds: Double
    private let thermalStatus: () -> Int
    private var times: [Double] = []
    private var warmup = 0
    private var start = 0.0
    private var end = 0.0
    private var windowStart = 0
    private var windowNumber = 1.0
    private var windows: [BenchmarkReport.Window] = []
    private var thermal: [BenchmarkReport.Thermal] = []

    /// Measures for `seconds`; `thermalStatus` is asked once a window (0 nominal to 3 critical).
    public init(seconds: Double, thermalStatus: @escaping () -> Int) {
        self.seconds = seconds
        self.thermalStatus = thermalStatus
        times.reserveCapacity(1 << 16)
    }

    /// The model took `milliseconds` for a frame and was done at `now` (seconds). Returns whether to go on.
    public mutating func add(_ milliseconds: Double, at now: Double) -> Bool {
        if warmup < Self.warmupFrames {
            warmup += 1
            start = now
            return true
        }
        times.append(milliseconds)
        end = now
        let past = now - start
        if past >= windowNumber * Self.windowSeconds || past >= seconds { closeWindow(past) }
        return past < seconds
    }

    private mutating func closeWindow(_ past: Double) {
        let sorted = times[windowStart...].sorted()
        windows.append(
            BenchmarkReport.Window(
                seconds: past, frames: sorted.count, medianMs: nearestRank(50, of: sorted),
                p90Ms: nearestRank(90, of: sorted)))
        thermal.append(BenchmarkReport.Thermal(seconds: past, status: thermalStatus()))
        windowStart = times.count
        while past >= windowNumber * Self.windowSeconds { windowNumber += 1 }
    }

    /// The file's content. `units`: what Core ML was allowed to use; which of them ran is its own choice.
    public func report(
        token: String, manifest: Manifest, device: Device, units: ComputeUnits, loadMilliseconds: Double,
        firstMilliseconds: Double, memoryMegabytes: Double?
    ) throws -> Data {
        let sorted = times.sorted()
        var report = BenchmarkReport(token: token, model: manifest.name, device: device, units: units)
        report.modelSha256 = manifest.files.first { $0.role == .model }?.sha256 ?? ""
        report.loadMs = loadMilliseconds
        report.firstMs = firstMilliseconds
        report.warmupFrames = warmup
        report.frames = times.count
        report.seconds = end - start
        report.medianMs = nearestRank(50, of: sorted)
        report.p90Ms = nearestRank(90, of: sorted)
        report.p99Ms = nearestRank(99, of: sorted)
        report.meanMs = sorted.reduce(0, +) / Double(max(sorted.count, 1))
        report.minMs = sorted.first ?? 0
        report.maxMs = sorted.last ?? 0
        report.windows = windows
        report.thermal = thermal
        report.memoryMb = Nullable(memoryMegabytes)
        return try report.json()
    }

    /// The file's content where nothing could be measured, for the one-line reason `error`.
    public static func failure(
        token: String, bundle: String, device: Device, units: ComputeUnits, error: String
    ) throws -> Data {
        var report = BenchmarkReport(token: token, model: bundle, device: device, units: units)
        report.error = Nullable(error)
        return try report.json()
    }
}
