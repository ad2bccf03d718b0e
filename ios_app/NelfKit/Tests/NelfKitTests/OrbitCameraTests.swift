import XCTest

@testable import NelfKit

final class OrbitCameraTests: XCTestCase {
    func testTheVectors() throws {
        let poses: PoseVectors = try Vectors.read("poses.json")
        var steps = 0
        for item in poses.cases {
            let camera = OrbitCamera(try Vectors.manifest(item.manifest))
            compare(camera.c2w, item.start, poses.tolerance, item.name)
            for step in item.steps {
                steps += 1
                call(step.call, on: camera)
                compare(camera.c2w, step.c2w, poses.tolerance, "\(item.name), step \(steps)")
                XCTAssertEqual(step.moving, camera.moving, "\(item.name), step \(steps)")
            }
        }
        XCTAssertGreaterThanOrEqual(steps, 200)
    }

    private func compare(_ pose: Pose, _ expected: Pose, _ tolerance: Double, _ where: String) {
        for (value, wanted) in zip(pose.rows, expected.rows) where !(abs(value - wanted) <= tolerance) {
            return XCTFail("\(`where`): \(pose.rows), not \(expected.rows)")
        }
    }

    private func call(_ call: PoseVectors.Call, on camera: OrbitCamera) {
        let numbers = call.numbers
        switch (call.method, numbers.count) {
        case ("resize", 2): camera.resize(numbers[0], numbers[1])
        case ("begin", 0): camera.begin()
        case ("drag", 3): camera.drag(numbers[0], numbers[1], numbers[2])
        case ("pan", 3): camera.pan(numbers[0], numbers[1], numbers[2])
        case ("pinch", 2): camera.pinch(numbers[0], numbers[1])
        case ("end", 1): camera.end(numbers[0])
        case ("step", 1): camera.step(numbers[0])
        case ("reset", 0): camera.reset()
        default: XCTFail("unknown call \(call)")
        }
    }

    func testWhatIsNoNumberIsIgnored() throws {
        let camera = OrbitCamera(try Vectors.manifest("around"))
        let before = camera.c2w
        camera.drag(.nan, 0, 0.1)
        camera.pan(0, .infinity, 0.1)
        camera.pinch(.nan, 0.1)
        camera.resize(.infinity, 5)
        camera.step(.nan)
        XCTAssertEqual(camera.c2w, before)
    }

    func testAPoseIsWrittenRowByRow() throws {
        let pose = OrbitCamera(try Vectors.manifest("arc")).c2w
        var buffer = [Float](repeating: 0, count: 12)
        buffer.withUnsafeMutableBufferPointer { pose.write(to: $0.baseAddress!) }
        XCTAssertEqual(buffer, pose.rows.map(Float.init))
        XCTAssertEqual(Pose(rows: pose.rows), pose)
    }
}
