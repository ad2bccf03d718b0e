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
        defer { UIApplication.shared.isIdleTimerDisabled = false }
        let data: Data
        do {
            data = try await measure(launch, store)
        } catch {
            data = try Benchmark.failure(
                token: launch.token, bundle: launch.bundle, device: device, units: launch.units,
                error: error.localizedDescription)
        }
        let file = URL.documentsDirectory.appendingPathComponent("benchmark.json")
        try data.write(to: file, options: .atomic)
        return file.path
    }

    private static func measure(_ launch: Launch, _ store: BundleStore) async throws -> Data {
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
        let seconds = launch.minutes * 60
        let (benchmark, first) = try await frames { () throws -> (Benchmark, Double) in
            let first = try autoreleasepool { try model.render(poses[0], into: image) }
            var benchmark = Benchmark(seconds: seconds) { ProcessInfo.processInfo.thermalState.rawValue }
            var number = 0
            while true {
                number += 1
                let time = try autoreleasepool { try model.render(poses[number % poses.count], into: image) }
                if !benchmark.add(time, at: ProcessInfo.processInfo.systemUptime) { return (benchmark, first) }
            }
        }
        return try benchmark.report(
            token: launch.token, manifest: bundle.manifest, device: Self.device, units: launch.units,
            loadMilliseconds: model.loadMilliseconds, firstMilliseconds: first,
            memoryMegabytes: MemoryUse.megabytes)
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
