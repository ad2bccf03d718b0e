import XCTest

@testable import NelfKit

final class ARPlacementTests: XCTestCase {
    private func roomCamera(_ eye: Vector, at target: Vector) -> Pose {
        let back = (eye - target).unit(otherwise: Vector(0, 0, 1))
        return Pose(eye: eye, back: back, above: Vector(0, 1, 0))
    }

    private func near(_ a: Vector, _ b: Vector, _ message: String = "") {
        XCTAssertLessThan((a - b).length, 1e-9, "\(a), not \(b) \(message)")
    }

    func testTheStartIsSeenFromTheSameSide() throws {
        let manifest = try Vectors.manifest("around")
        let start = OrbitCamera(manifest).c2w
        // At the elevation of the start pose: 20 degrees.
        let eye = Vector(2 * cos(radians(20)) * sin(1), 2 * sin(radians(20)), 2 * cos(radians(20)) * cos(1))
        let camera = roomCamera(eye, at: .zero)
        let placement = try XCTUnwrap(ARPlacement(manifest, start: start, before: camera, distance: 2))
        let view = try XCTUnwrap(placement.view(from: camera))
        near(view.c2w.eye, start.eye)
        near(view.c2w.back, start.back)
        near(view.c2w.up, start.up)
        XCTAssertEqual(view.scale, 1, accuracy: 1e-9)
        XCTAssertEqual(view.focus.x, 0, accuracy: 1e-9)
        XCTAssertEqual(view.degreesOff, 0, accuracy: 1e-6)
    }

    /// A point of the room near the object is drawn where the camera sees it, when the pose is covered.
    func testPointsLandWhereTheyAre() throws {
        let manifest = try Vectors.manifest("around")
        guard case .shell(let shell) = manifest.region else { return XCTFail("no shell") }
        let camera = roomCamera(Vector(0, 0.8, 2), at: .zero)
        let placement = try XCTUnwrap(
            ARPlacement(manifest, start: OrbitCamera(manifest).c2w, before: camera, distance: camera.eye.length))
        for eye in [Vector(1.9, 0.5, 0.4), Vector(-1, 1, -1.6), Vector(0.3, 4, 0.2), Vector(0, 0.2, 9)] {
            let moved = roomCamera(eye, at: Vector(0.1, 0.1, 0))
            let view = try XCTUnwrap(placement.view(from: moved))
            XCTAssertTrue(view.c2w.isRigid(within: 1e-9))
            let offset = view.c2w.eye - shell.center
            XCTAssertGreaterThanOrEqual(offset.length, shell.radius.low - 1e-9)
            XCTAssertLessThanOrEqual(offset.length, shell.radius.high + 1e-9)
            // The scene's centre: where the room's camera sees the anchor, and where the covered pose sees it.
            let seen = Vector(0, 0, 0) - moved.eye
            XCTAssertEqual(view.focus.x, -seen.dot(moved.right) / seen.dot(moved.back), accuracy: 1e-9)
            XCTAssertEqual(view.focus.y, -seen.dot(moved.up) / seen.dot(moved.back), accuracy: 1e-9)
            let drawn = shell.center - view.c2w.eye
            XCTAssertEqual(view.focus.x, -drawn.dot(view.c2w.right) / drawn.dot(view.c2w.back), accuracy: 1e-9)
            XCTAssertEqual(view.focus.y, -drawn.dot(view.c2w.up) / drawn.dot(view.c2w.back), accuracy: 1e-9)
            XCTAssertEqual(view.scale, offset.length / (seen.length * 4 / camera.eye.length), accuracy: 1e-9)
        }
    }

    func testWhatCannotBeShown() throws {
        let manifest = try Vectors.manifest("around")
        let camera = roomCamera(Vector(0, 0, 2), at: .zero)
        let start = OrbitCamera(manifest).c2w
        let placement = try XCTUnwrap(ARPlacement(manifest, start: start, before: camera, distance: 2))
        XCTAssertNil(placement.view(from: roomCamera(Vector(0, 0, 2), at: Vector(0, 0, 4))))  // behind
        XCTAssertNil(placement.view(from: roomCamera(.zero, at: Vector(0, 0, 4))))  // inside
        XCTAssertNil(ARPlacement(try Vectors.manifest("ring"), start: start, before: camera, distance: 2))
        let below = try XCTUnwrap(placement.view(from: roomCamera(Vector(0, -2, 0.1), at: .zero)))
        XCTAssertGreaterThan(below.degreesOff, 45)
    }
}
