import XCTest

@testable import NelfKit

final class GesturesTests: XCTestCase {
    private func camera() throws -> OrbitCamera {
        let camera = OrbitCamera(try Vectors.manifest("around"))
        camera.resize(400, 800)
        return camera
    }

    func testOneFingerDrags() throws {
        var gestures = Gestures()
        let (touched, called) = (try camera(), try camera())
        gestures.touch(1, (10, 10), (0, 0), at: 5, camera: touched)
        gestures.touch(1, (40, 30), (0, 0), at: 5.1, camera: touched)
        gestures.touch(0, (0, 0), (0, 0), at: 5.12, camera: touched)
        called.begin()
        called.drag(30, 20, 5.1 - 5)
        called.end(5.12 - 5.1)
        XCTAssertEqual(touched.c2w, called.c2w)
        XCTAssertTrue(touched.moving)
    }

    func testTwoFingersPanAndPinch() throws {
        var gestures = Gestures()
        let (touched, called) = (try camera(), try camera())
        gestures.touch(1, (10, 10), (0, 0), at: 0, camera: touched)
        gestures.touch(2, (10, 10), (10, 110), at: 0.1, camera: touched)
        gestures.touch(2, (20, 0), (20, 120), at: 0.25, camera: touched)
        gestures.touch(1, (20, 0), (0, 0), at: 0.5, camera: touched)
        called.begin()
        called.begin()
        called.pan(10, 0, 0.15)
        called.pinch(1.2, 0.15)
        called.begin()
        XCTAssertEqual(touched.c2w, called.c2w)
        XCTAssertFalse(touched.moving)
        gestures.cancel(at: 0.6, camera: touched)
        XCTAssertFalse(touched.moving)
    }

    private func tap(_ gestures: inout Gestures, _ x: Double, at seconds: Double, camera: OrbitCamera) {
        gestures.touch(1, (x, 50), (0, 0), at: seconds, camera: camera)
        gestures.touch(0, (0, 0), (0, 0), at: seconds + 0.1, camera: camera)
    }

    func testTwoQuickTapsReset() throws {
        for (pause, resets) in [(0.3, true), (1.0, false)] {
            var gestures = Gestures()
            let touched = try camera()
            let start = touched.c2w
            touched.drag(100, 0, 0)
            tap(&gestures, 50, at: 1, camera: touched)
            tap(&gestures, 55, at: 1 + pause, camera: touched)
            XCTAssertEqual(touched.c2w == start, resets, "pause \(pause)")
        }
    }
}
