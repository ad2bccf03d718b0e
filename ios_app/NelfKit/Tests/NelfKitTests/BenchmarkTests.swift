import XCTest

@testable import NelfKit

final class BenchmarkTests: XCTestCase {
    private let device = Benchmark.Device(manufacturer: "Apple", model: "x", soc: "", os: "iOS 16", app: "0.1.0")

    func testWhatIsMeasured() throws {
        var benchmark = Benchmark(seconds: 15) { 1 }
        var now = 100.0
        for _ in 0..<Benchmark.warmupFrames { XCTAssertTrue(benchmark.add(500, at: now)) }
        var frames = 0
        repeat {
            now += 0.125
            frames += 1
        } while benchmark.add(Double(frames), at: now)
        XCTAssertEqual(frames, 120)
        let manifest = try Vectors.manifest("around")
        let data = try benchmark.report(
            token: "t", manifest: manifest, device: device, units: .cpuAndGPU, loadMilliseconds: 3,
            firstMilliseconds: 4,
            memoryMegabytes: nil)
        let report = try members(data)
        XCTAssertEqual(report["format"] as? String, "nelf-app-benchmark")
        XCTAssertEqual(report["accelerator"] as? String, "gpu")
        XCTAssertEqual(report["model_sha256"] as? String, manifest.files[0].sha256)
        let expected = [
            ("frames", 120.0), ("seconds", 15), ("median_ms", 60), ("p90_ms", 108), ("p99_ms", 119), ("mean_ms", 60.5),
            ("min_ms", 1), ("max_ms", 120), ("warmup_frames", 20), ("load_ms", 3), ("first_ms", 4),
        ]
        for (key, value) in expected {
            XCTAssertEqual(try XCTUnwrap(report[key] as? Double, key), value, accuracy: 1e-9, key)
        }
        let windows = try XCTUnwrap(report["windows"] as? [[String: Any]])
        XCTAssertEqual(windows.map { $0["frames"] as? Int }, [80, 40])
        XCTAssertEqual((report["thermal"] as? [Any])?.count, 2)
        XCTAssert(report["memory_mb"] is NSNull)
    }

    private func members(_ json: Data) throws -> [String: Any] {
        try XCTUnwrap(JSONSerialization.jsonObject(with: json) as? [String: Any])
    }

    func testAFailureHasEveryKeyToo() throws {
        var benchmark = Benchmark(seconds: 1) { 0 }
        _ = benchmark.add(1, at: 1)
        let full = try benchmark.report(
            token: "", manifest: Vectors.manifest("around"), device: device, units: .all, loadMilliseconds: 0,
            firstMilliseconds: 0, memoryMegabytes: 5)
        let failure = try Benchmark.failure(
            token: "", bundle: "b", device: device, units: .all, error: "no such bundle")
        XCTAssertEqual(Set(try members(full).keys), Set(try members(failure).keys))
        XCTAssertEqual(try members(failure)["error"] as? String, "no such bundle")
    }

    func testLaunchArguments() throws {
        XCTAssertNil(try Launch.benchmark(["app"]))
        XCTAssertEqual(
            try Launch.benchmark(["app", "-benchmark", "fox", "-units", "cpuOnly", "-minutes", "2", "-token", "7"]),
            Launch(bundle: "fox", units: .cpuOnly, minutes: 2, token: "7"))
        XCTAssertEqual(try Launch.benchmark(["app", "-benchmark", "fox"])?.minutes, 0.5)
        XCTAssertThrowsError(try Launch.benchmark(["app", "-benchmark", "fox", "-units", "npu"]))
        XCTAssertThrowsError(try Launch.benchmark(["app", "-benchmark", "fox", "-minutes", "x"]))
    }
}
