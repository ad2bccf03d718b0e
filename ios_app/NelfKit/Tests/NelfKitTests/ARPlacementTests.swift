import XCTest

@testable import NelfKit

final class ARPlacementTests: XCTestCase {
    private func roomCamera(_ eye: Vector, at target: Vector, roll: Double = 0) -> Pose {
        let back = (eye - target).unit(otherwise: Vector(0, 0, 1))
        return Pose(eye: eye, back: back, above: Vector(0, 1, 0).turned(about: back, by: roll))
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
        XCTAssertEqual(view.degreesOff, 0, accuracy: 1e-6)
        near(view.position(0.2, -0.1) * (1 / 4), Vector(0.2, -0.1, -1))  // the image is the view
    }

    /// The pose is one that the viewer could have: aimed at the centre, upright, inside the region; wherever one looks.
    func testThePoseIsCovered() throws {
        let (_, region, placement) = try placed()
        for eye in [Vector(1.9, 0.5, 0.4), Vector(-1, 1, -1.6), Vector(0.3, 4, 0.2), Vector(0, 0.2, 9)] {
            for target in [Vector(0, 0, 0), Vector(0.3, 0.2, 0.1), Vector(-0.2, 0.1, 0.3)] {
                let pose = try XCTUnwrap(placement.view(from: roomCamera(eye, at: target, roll: 0.4))).c2w
                XCTAssertTrue(pose.isRigid(within: 1e-9))
                let offset = pose.eye - region.center
                XCTAssertGreaterThanOrEqual(offset.length, region.radius.low - 1e-9)
                XCTAssertLessThanOrEqual(offset.length, region.radius.high + 1e-9)
                near(pose.back, offset * (1 / offset.length))
                XCTAssertEqual(pose.right.dot(region.up), 0, accuracy: 1e-9)
                XCTAssertGreaterThan(pose.up.dot(region.up), 0)
            }
        }
    }

    /// A point of the scene, drawn where the image has it, is where the room's camera sees it: for all points at a
    /// distance that was photographed, elsewhere for those on the plane through the centre that faces the camera.
    func testPointsLandWhereTheyAre() throws {
        let (manifest, region, placement) = try placed()
        let (metres, start) = (2.0 / 4, OrbitCamera(manifest).c2w)
        for (distance, roll) in [(1.8, 0.0), (2.2, 1.1), (1.0, -0.7), (5.0, 0.3)] {
            // At the start's azimuth and elevation, so that the scene's axes in the room are those of the two cameras.
            let eye = Vector(0, distance * sin(radians(20)), distance * cos(radians(20)))
            let aimed = roomCamera(eye, at: .zero)
            let camera = roomCamera(eye, at: Vector(0.12, -0.07, 0.1), roll: roll)
            let view = try XCTUnwrap(placement.view(from: camera))
            let photographed = region.radius.low...region.radius.high ~= distance / metres
            for offset in [Vector(0, 0, 0), Vector(0.3, -0.2, 0), Vector(-0.4, 0.5, 0.6), Vector(0.1, 0.2, -0.8)] {
                let away = photographed ? offset.z : 0
                // The same point in both worlds, by its place in the frame of the camera that is aimed at the centre.
                let scene = region.center + start.right * offset.x + start.up * offset.y + start.back * away
                let room = aimed.right * offset.x + aimed.up * offset.y + aimed.back * away
                let ray = scene - view.c2w.eye
                let depth = -ray.dot(view.c2w.back)
                let drawn = view.position(ray.dot(view.c2w.right) / depth, ray.dot(view.c2w.up) / depth)
                let seen = room * metres - camera.eye
                XCTAssertLessThan(drawn.z, 0)
                XCTAssertEqual(drawn.x / drawn.z, seen.dot(camera.right) / seen.dot(camera.back), accuracy: 1e-9)
                XCTAssertEqual(drawn.y / drawn.z, seen.dot(camera.up) / seen.dot(camera.back), accuracy: 1e-9)
            }
        }
    }

    func testTheImagesCorners() throws {
        let (manifest, _, placement) = try placed()
        let camera = roomCamera(Vector(0, 2 * sin(radians(20)), 2 * cos(radians(20))), at: .zero)
        let corners = try XCTUnwrap(placement.view(from: camera)).corners(of: manifest)
        let (lens, image) = (manifest.camera.intrinsics, manifest.image)
        let pixels = [corners.0, corners.1, corners.2, corners.3].map { corner in
            (lens[2] - lens[0] * corner.x / corner.z, lens[3] + lens[1] * corner.y / corner.z)
        }
        let (width, height) = (Double(image.width), Double(image.height))
        let expected: [(Double, Double)] = [(0, height), (width, height), (0, 0), (width, 0)]
        for (found, right) in zip(pixels, expected) {
            XCTAssertEqual(found.0, right.0, accuracy: 1e-9)
            XCTAssertEqual(found.1, right.1, accuracy: 1e-9)
        }
    }

    /// The scene "around" with its centre at the room's origin, 2 metres from a camera that sees it from the start's side.
    private func placed() throws -> (Manifest, OrbitRegion, ARPlacement) {
        let manifest = try Vectors.manifest("around")
        guard case .orbit(let region) = manifest.region else { fatalError("the vector is not an orbit") }
        let camera = roomCamera(Vector(0, 2 * sin(radians(20)), 2 * cos(radians(20))), at: .zero)
        let start = OrbitCamera(manifest).c2w
        let placement = ARPlacement(manifest, start: start, before: camera, distance: 2)
        return (manifest, region, try XCTUnwrap(placement))
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
