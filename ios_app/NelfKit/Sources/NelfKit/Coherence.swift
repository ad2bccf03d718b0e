import Foundation

/// What the schema cannot say of a manifest: whether its numbers fit together.
extension Manifest {
    /// Of a length: directions are stored in single precision.
    private static let unitTolerance = 1e-3
    private static let rigidTolerance = 1e-2

    func checkCoherence() throws {
        try checkShapes()
        try checkDirections()
        try checkRotations()
        try checkRanges()
    }

    private func checkShapes() throws {
        let expected = [1, image.height, image.width, image.channels]
        if model.input.shape != [1, 3, 4] {
            throw BundleError(.shapeMismatch, "The model takes \(model.input.shape), not a pose")
        }
        if model.output.shape != expected {
            throw BundleError(.shapeMismatch, "The model gives \(model.output.shape), not \(expected)")
        }
        if (image.alpha == "premultiplied") != image.hasAlpha {
            throw BundleError(.shapeMismatch, "Alpha is \(image.alpha) with \(image.channels) channels")
        }
    }

    private func checkDirections() throws {
        var directions = [("camera.up", camera.up)]
        if case .orbit(let orbit) = region {
            directions += [("region.up", orbit.up), ("region.azimuth_zero", orbit.azimuthZero)]
        }
        for (name, direction) in directions where abs(direction.length - 1) > Self.unitTolerance {
            throw BundleError(.directionNotUnit, "\(name) has not length 1")
        }
        if case .orbit(let orbit) = region, abs(orbit.up.dot(orbit.azimuthZero)) > Self.unitTolerance {
            throw BundleError(.directionNotUnit, "region.azimuth_zero is not at right angles to region.up")
        }
    }

    private func checkRotations() throws {
        guard case .box(let box) = region else { return }
        for pose in [box.reference] + (box.covered?.cameras ?? []) where !pose.isRigid(within: Self.rigidTolerance) {
            throw BundleError(.rotationInvalid, "A pose of the region is not rigid")
        }
    }

    private func checkRanges() throws {
        if camera.near >= camera.far { throw BundleError(.rangeEmpty, "The near depth is not before the far one") }
        let ranges: [Range]
        switch region {
        case .orbit(let orbit): ranges = [orbit.radius, orbit.elevation]
        case .box(let box):
            ranges = [
                Range(low: box.low.x, high: box.high.x), Range(low: box.low.y, high: box.high.y),
                Range(low: box.low.z, high: box.high.z),
            ]
        }
        for range in ranges where range.low > range.high {
            throw BundleError(.rangeEmpty, "The region has a range from \(range.low) to \(range.high)")
        }
    }
}

extension Pose {
    /// Whether the rotation is one: orthonormal rows to within `tolerance`, right-handed.
    func isRigid(within tolerance: Double) -> Bool {
        let values = rows
        let axes = (0..<3).map { Vector(values, from: 4 * $0) }
        for (i, a) in axes.enumerated() {
            for (j, b) in axes.enumerated() where !(abs(a.dot(b) - (i == j ? 1 : 0)) < tolerance) { return false }
        }
        return axes[0].cross(axes[1]).dot(axes[2]) > 0
    }
}
