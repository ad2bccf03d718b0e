import Foundation

/// An object scene put into a room: where the room's camera is in the scene, and what can be shown from there.
///
/// Room space is ARKit's: metres, y upwards; its cameras have the same axes as ours.
public struct ARPlacement {
    /// What to draw: the image of a covered pose, as a rectangle that stands in the room.
    public struct View {
        /// Aimed at the object's centre and upright, as training saw it, wherever the room's camera looks.
        public let c2w: Pose
        /// Degrees between the direction from which one looks and the nearest that was photographed.
        public let degreesOff: Double

        /// Axes of the room's camera, in the scene, turned with the way to the centre.
        fileprivate let right, up, back: Vector
        /// From the centre to the room's camera, and to the covered pose.
        fileprivate let distance, covered: Double

        /// What `c2w` sees at (x, y) of its image plane (at distance 1; x to the right, y upwards), in the room's camera
        /// (x right, y up, z back), up to a positive factor.
        ///
        /// As if all of it stood on the plane through the centre that faces the camera. At the distance that was
        /// photographed it is exact for every point: there only the aim differs, and that is a homography.
        public func position(_ x: Double, _ y: Double) -> Vector {
            let seen = c2w.right * (x * covered) + c2w.up * (y * covered) - c2w.back * distance
            return Vector(seen.dot(right), seen.dot(up), seen.dot(back))
        }

        /// Corners of the image in the room's camera: bottom left, bottom right, top left, top right.
        public func corners(of manifest: Manifest) -> (Vector, Vector, Vector, Vector) {
            let (image, lens) = (manifest.image, manifest.camera.intrinsics)
            let (left, right) = (-lens[2] / lens[0], (Double(image.width) - lens[2]) / lens[0])
            let (bottom, top) = ((lens[3] - Double(image.height)) / lens[1], lens[3] / lens[1])
            return (position(left, bottom), position(right, bottom), position(left, top), position(right, top))
        }
    }

    private let region: OrbitRegion
    private let anchor: Vector
    private let metres: Double  // of one unit of the scene
    private let side, across: Vector  // room directions of the scene's azimuth zero and of its side

    /// Puts the scene so that its centre is `distance` metres before the room's camera, and is seen from the side from
    /// which `start`, a pose of the scene, sees it. nil for a scene that is no object.
    public init?(_ manifest: Manifest, start: Pose, before camera: Pose, distance: Double) {
        guard case .orbit(let region) = manifest.region, distance > 0 else { return nil }
        self.region = region
        anchor = camera.eye - camera.back * distance
        let offset = start.eye - region.center
        metres = distance / max(offset.length, Vector.parallel)
        let azimuth = atan2(offset.dot(region.up.cross(region.azimuthZero)), offset.dot(region.azimuthZero))
        // The horizontal direction from the scene to the camera has that azimuth.
        let level = Vector(camera.back.x, 0, camera.back.z).unit(otherwise: Vector(0, 0, 1))
        side = level.turned(about: Vector(0, 1, 0), by: -azimuth)
        across = Vector(0, 1, 0).cross(side)
    }

    /// A room's direction, in the scene.
    private func scene(_ room: Vector) -> Vector {
        let zero = region.azimuthZero
        return zero * room.dot(side) + region.up.cross(zero) * room.dot(across) + region.up * room.y
    }

    /// What the room's camera sees of the scene. nil when it is inside the object, or the object is behind it.
    public func view(from camera: Pose) -> View? {
        let offset = scene(camera.eye - anchor) * (1 / metres)
        let (right, up, back) = (scene(camera.right), scene(camera.up), scene(camera.back))
        let away = offset.unit(otherwise: .zero)
        let depth = offset.dot(back)
        if away == .zero || depth <= 0 { return nil }
        let covered = nearest(to: offset)
        // The camera turns with the way to the centre, so that the object stays where it is in the room.
        let nearestAway = covered.unit(otherwise: away)
        let axis = away.cross(nearestAway)
        let angle = atan2(axis.length, away.dot(nearestAway))
        let unitAxis = axis.unit(otherwise: region.up)
        return View(
            c2w: Pose(eye: region.center + covered, back: nearestAway, above: above(covered)),
            degreesOff: angle * 180 / .pi, right: right.turned(about: unitAxis, by: angle),
            up: up.turned(about: unitAxis, by: angle), back: back.turned(about: unitAxis, by: angle),
            distance: offset.length, covered: covered.length)
    }

    /// Upwards in the image of a camera at `offset` from the centre that looks at it; at a pole too.
    private func above(_ offset: Vector) -> Vector {
        let azimuth = azimuth(of: offset)
        let right = region.up.cross(region.azimuthZero) * cos(azimuth) - region.azimuthZero * sin(azimuth)
        return offset.unit(otherwise: region.up).cross(right)
    }

    private func azimuth(of offset: Vector) -> Double {
        atan2(offset.dot(region.up.cross(region.azimuthZero)), offset.dot(region.azimuthZero))
    }

    /// The covered place (relative to the centre) for one anywhere: each coordinate held to its range.
    private func nearest(to offset: Vector) -> Vector {
        let side = region.up.cross(region.azimuthZero)
        let distance = offset.length
        let elevation = asin(clamp(offset.dot(region.up) / distance, -1, 1))
        let half = radians(region.azimuthWidth) / 2
        let middle = radians(region.azimuthStart) + half
        let fromMiddle = (azimuth(of: offset) - middle).remainder(dividingBy: 2 * .pi)
        let held = middle + clamp(fromMiddle, -half, half)
        let height = clamp(elevation, radians(region.elevation.low), radians(region.elevation.high))
        let level = region.azimuthZero * cos(held) + side * sin(held)
        let away = level * cos(height) + region.up * sin(height)
        return away * clamp(distance, region.radius.low, region.radius.high)
    }
}
