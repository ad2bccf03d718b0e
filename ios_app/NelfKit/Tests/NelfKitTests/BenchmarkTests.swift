import XCTest

@testable import NelfKit

final class BenchmarkTests: XCTestCase {
    private let device = Benchmark.Device(
        manufacturer: "Example", model: "Phone \"1\"", soc: "", os: "Example 15", app: "0.1.0")
    private let plan = Benchmark.Plan(warmUpSeconds: 3, seconds: 30, minutes: nil)

    /// What the times decide, and what is passed through.
    private let measured = [
        "frames", "rate", "latency", "sustained", "conditions", "threads", "memory_mb", "golden_psnr", "backend",
        "load_milliseconds", "first_frame_milliseconds", "bundle",
    ]

    func testReportsAreThoseOfTheSharedVectors() throws {
        let data = try Data(contentsOf: Vectors.folder.appendingPathComponent("benchmark.json"))
        let vectors = try members(data)
        let begin = try XCTUnwrap(vectors["begin"] as? Double)
        let cases = try XCTUnwrap(vectors["cases"] as? [[String: Any]])
        XCTAssertFalse(cases.isEmpty)
        for one in cases { try check(one, begin) }
    }

    private func check(_ one: [String: Any], _ begin: Double) throws {
        let name = try XCTUnwrap(one["name"] as? String)
        let plan = Benchmark.Plan(
            warmUpSeconds: try number(one["warm_up_seconds"]), seconds: try number(one["seconds"]),
            minutes: one["minutes"] as? Double)
        let given = try XCTUnwrap(one["conditions"] as? [[String: Any]])
        let samples = Counter()
        var benchmark = Benchmark(plan, at: begin) {
            samples.count += 1
            return Self.condition(given[samples.count - 1])
        }
        var goesOn = true
        for frame in try XCTUnwrap(one["frames"] as? [[Double]]) {
            XCTAssertTrue(goesOn, name)
            goesOn = benchmark.add(frame[0], at: frame[1])
        }
        XCTAssertEqual(samples.count, given.count, name)
        let expected = try XCTUnwrap(one["report"] as? [String: Any])
        let stopped = one["stopped"] as? String
        let manifest = try Vectors.manifest("around")
        let report = try members(
            benchmark.report(
                token: "6f1c", manifest: manifest, device: device, units: .cpuAndGPU, loadMilliseconds: 412.5,
                firstMilliseconds: 30.25, memoryMegabytes: 182.5, stopped: stopped, visible: stopped == nil))
        XCTAssertEqual(expected["finished"] as? Bool, !goesOn, name)
        XCTAssertEqual(Set(report.keys), Set(expected.keys), name)
        for key in expected.keys where key != "results" { assertNear(expected[key], report[key], "\(name): \(key)") }
        let results = try XCTUnwrap(report["results"] as? [[String: Any]])
        let wanted = try XCTUnwrap(expected["results"] as? [[String: Any]])
        XCTAssertEqual(results.count, wanted.count, name)
        for (result, wanted) in zip(results, wanted) {
            XCTAssertEqual(Set(result.keys), Set(wanted.keys), name)
            for key in measured { assertNear(wanted[key], result[key], "\(name): \(key)") }
            XCTAssertEqual(result["model_sha256"] as? String, manifest.files[0].sha256)
        }
    }

    private final class Counter { var count = 0 }

    private static func condition(_ given: [String: Any]) -> Benchmark.Condition {
        Benchmark.Condition(
            thermalStatus: given["thermal_status"] as? Int, headroom: given["headroom"] as? Double,
            batteryCelsius: given["battery_celsius"] as? Double, batteryPercent: given["battery_percent"] as? Double,
            batteryMilliamperes: given["battery_milliamperes"] as? Double,
            batteryVolts: given["battery_volts"] as? Double, charging: given["charging"] as? Bool)
    }

    /// Numbers near each other, everything else equal.
    private func assertNear(_ expected: Any?, _ found: Any?, _ what: String) {
        if let expected = expected as? [String: Any] {
            let found = found as? [String: Any] ?? [:]
            XCTAssertEqual(Set(expected.keys), Set(found.keys), what)
            for (key, value) in expected { assertNear(value, found[key], "\(what), \(key)") }
        } else if let expected = expected as? [Any] {
            let found = found as? [Any] ?? []
            XCTAssertEqual(expected.count, found.count, what)
            for (a, b) in zip(expected, found) { assertNear(a, b, what) }
        } else if let expected = expected as? Double, let found = found as? Double {
            XCTAssertEqual(expected, found, accuracy: 1e-9 * max(1, expected), what)
        } else {
            XCTAssertEqual(expected as? NSObject, found as? NSObject, what)
        }
    }

    private func number(_ value: Any?) throws -> Double { try XCTUnwrap(value as? Double) }

    private func members(_ json: Data) throws -> [String: Any] {
        try XCTUnwrap(JSONSerialization.jsonObject(with: json) as? [String: Any])
    }

    func testAFailureHasEveryKeyToo() throws {
        let benchmark = Benchmark(plan, at: 0) { Benchmark.Condition() }
        let full = try benchmark.report(
            token: "", manifest: Vectors.manifest("around"), device: device, units: .all, loadMilliseconds: 0,
            firstMilliseconds: 0, memoryMegabytes: 5)
        let failure = try Benchmark.failure(token: "t", plan: plan, device: device, error: "no such bundle")
        XCTAssertEqual(Set(try members(full).keys), Set(try members(failure).keys))
        XCTAssertEqual(try members(failure)["stopped"] as? String, "no such bundle")
        XCTAssertEqual(try members(failure)["finished"] as? Bool, false)
    }

    func testLaunchArguments() throws {
        XCTAssertNil(try Launch.benchmark(["app"]))
        let given = ["app", "-benchmark", "fox", "-units", "cpuOnly", "-seconds", "5", "-minutes", "2", "-token", "7"]
        XCTAssertEqual(
            try Launch.benchmark(given),
            Launch(
                bundle: "fox", units: .cpuOnly, plan: Benchmark.Plan(warmUpSeconds: 3, seconds: 5, minutes: 2),
                token: "7"))
        XCTAssertEqual(try Launch.benchmark(["app", "-benchmark", "fox"])?.plan, plan)
        for wrong in [["-units", "npu"], ["-minutes", "x"], ["-seconds", "0"], ["-warm-up", "-1"]] {
            XCTAssertThrowsError(try Launch.benchmark(["app", "-benchmark", "fox"] + wrong))
        }
    }
}
