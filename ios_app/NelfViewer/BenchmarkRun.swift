import Foundation
import Metal
import NelfKit
import UIKit

/// The benchmark mode: the model renders the golden poses over and over, into Documents/benchmark.json. The images are
/// not drawn: an iPhone's display would hold the loop to its own rate.
@MainActor
enum BenchmarkRun {
    /// Returns the file's path. A failure to measure is written into the file too.
    static func run(_ arguments: [String], _ store: BundleStore) async throws -> String {
        guard let launch = try Launch.benchmark(arguments) else { throw ModelError("-benchmark names no bundle") }
        UIApplication.shared.isIdleTimerDisabled = true
        UIDevice.current.isBatteryMonitoringEnabled = true
        defer { UIApplication.shared.isIdleTimerDisabled = false }
        let file = URL.documentsDirectory.appendingPathComponent("benchmark.json")
        let data: Data
        do {
            data = try await measure(launch, store, file)
        } catch {
            data = try Benchmark.failure(
                token: launch.token, plan: launch.plan, device: device, error: error.localizedDescription)
        }
        try data.write(to: file, options: .atomic)
        return file.path
    }

    /// The last report. On the way `file` has what is known: a run that is cut off later has left that much.
    private static func measure(_ launch: Launch, _ store: BundleStore, _ file: URL) async throws -> Data {
        await store.refresh()
        guard let entry = store.entries.first(where: { $0.name == launch.bundle }) else {
            let known = store.entries.map(\.name).joined(separator: ", ")
            throw ModelError("There is no bundle \(launch.bundle); there are: \(known)")
        }
        let bundle = try entry.content.get()
        let poses = try bundle.goldenViews().map(\.c2w)
        guard let device = MTLCreateSystemDefaultDevice() else { throw ModelError("This device has no Metal") }
        let model = try await NelfModel.load(bundle, units: launch.units)
        let image = try ImageBuffer(device: device, output: bundle.manifest.model.output)
        let (about, front) = (Self.device, Front())
        return try await frames { () throws -> Data in
            let first = try autoreleasepool { try model.render(poses[0], into: image) }
            var benchmark = Benchmark(launch.plan, at: ProcessInfo.processInfo.systemUptime, sample: condition)
            let report = { (benchmark: Benchmark, stopped: String?) throws -> Data in
                try benchmark.report(
                    token: launch.token, manifest: bundle.manifest, device: about, units: launch.units,
                    loadMilliseconds: model.loadMilliseconds, firstMilliseconds: first,
                    memoryMegabytes: MemoryUse.megabytes, stopped: stopped, visible: stopped == nil)
            }
            var (number, told) = (0, 0)
            while true {
                number += 1
                let time = try autoreleasepool { try model.render(poses[number % poses.count], into: image) }
                if front.left { return try report(benchmark, "the app was left") }
                if !benchmark.add(time, at: ProcessInfo.processInfo.systemUptime) { return try report(benchmark, nil) }
                if benchmark.samples > told {
                    told = benchmark.samples
                    try report(benchmark, nil).write(to: file, options: .atomic)
                }
            }
        }
    }

    /// What iOS tells: the thermal state and the battery's level, in steps of 5 % or 1 %, and no current.
    private nonisolated static func condition() -> Benchmark.Condition {
        let (level, state) = DispatchQueue.main.sync {
            MainActor.assumeIsolated { (UIDevice.current.batteryLevel, UIDevice.current.batteryState) }
        }
        return Benchmark.Condition(
            thermalStatus: ProcessInfo.processInfo.thermalState.rawValue,
            batteryPercent: level < 0 ? nil : Double(level) * 100,
            charging: state == .unknown ? nil : state != .unplugged)
    }

    /// Whether the app went to the background, where iOS stops it.
    private final class Front: @unchecked Sendable {
        private let lock = NSLock()
        private var gone = false
        private var watching: (any NSObjectProtocol)?

        init() {
            watching = NotificationCenter.default.addObserver(
                forName: UIApplication.didEnterBackgroundNotification, object: nil, queue: nil
            ) { [weak self] _ in self?.leave() }
        }

        deinit { if let watching { NotificationCenter.default.removeObserver(watching) } }

        private func leave() { lock.withLock { gone = true } }

        var left: Bool { lock.withLock { gone } }
    }

    /// On a queue of the same kind as `FrameLoop`'s: a task of lower priority would be given slower cores.
    private static func frames<Result>(_ work: @escaping () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "org.nelf.benchmark", qos: .userInteractive).async {
                continuation.resume(with: Swift.Result { try work() })
            }
        }
    }

    private static var device: Benchmark.Device {
        let version = Bundle.main.object(forInfoDictionaryKey: "CFBundleShortVersionString") as? String
        return Benchmark.Device(
            manufacturer: "Apple", model: DeviceName.machine, soc: "",
            os: "\(UIDevice.current.systemName) \(UIDevice.current.systemVersion)", app: version ?? "")
    }
}
