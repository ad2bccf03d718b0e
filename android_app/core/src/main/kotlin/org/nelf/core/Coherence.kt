package org.nelf.core

import kotlin.math.abs
import kotlin.math.sqrt

private const val UNIT_TOLERANCE = 1e-3 // of a length; directions are stored in single precision
private const val RIGID_TOLERANCE = 0.01 // largest entry of R R^T - I

/** What types and ranges cannot say: whether the numbers of a manifest fit together. Throws [BundleError]. */
internal fun checkCoherence(manifest: Manifest) {
    checkShapes(manifest)
    checkDirections(manifest)
    checkRotations(manifest.region)
    checkRanges(manifest)
}

private fun checkShapes(manifest: Manifest) {
    val image = manifest.image
    val wanted = listOf(1, image.height, image.width, image.channels)
    for ((tensor, shape) in listOf(manifest.model.input to listOf(1, 3, 4), manifest.model.output to wanted)) {
        refuseUnless(tensor.shape == shape, BundleErrorCode.SHAPE_MISMATCH) {
            "the shape of ${tensor.name} is ${tensor.shape}, not $shape"
        }
    }
    refuseUnless(image.alpha == if (image.channels == 4) "premultiplied" else "none", BundleErrorCode.SHAPE_MISMATCH) {
        "image.alpha is ${image.alpha} with ${image.channels} channels"
    }
}

private fun checkDirections(manifest: Manifest) {
    val shell = manifest.region as? OrbitRegion
    val named =
        listOf("camera.up" to manifest.camera.up, "region.up" to shell?.up, "azimuth_zero" to shell?.azimuthZero)
    for ((where, direction) in named) {
        direction ?: continue
        refuseUnless(abs(sqrt(dot(direction, direction)) - 1) <= UNIT_TOLERANCE, BundleErrorCode.DIRECTION_NOT_UNIT) {
            "$where has not length 1"
        }
    }
    refuseUnless(
        shell == null || abs(dot(shell.up, shell.azimuthZero)) <= UNIT_TOLERANCE,
        BundleErrorCode.DIRECTION_NOT_UNIT,
    ) { "region.azimuth_zero is not at right angles to region.up" }
}

private fun checkRotations(region: Region) {
    val box = region as? BoxRegion ?: return
    for (pose in listOf(box.reference) + box.covered?.cameras.orEmpty()) {
        refuseUnless(isRigid(pose), BundleErrorCode.ROTATION_INVALID) { "a pose of the region is not rigid" }
    }
}

private fun checkRanges(manifest: Manifest) {
    val camera = manifest.camera
    refuseUnless(camera.near < camera.far, BundleErrorCode.RANGE_EMPTY) {
        "camera.near ${camera.near} is not before camera.far ${camera.far}"
    }
    val ranges =
        when (val region = manifest.region) {
            is OrbitRegion -> listOf(region.radius, region.elevation).map { it[0] to it[1] }
            is BoxRegion -> region.low zip region.high
        }
    for ((low, high) in ranges) {
        refuseUnless(low <= high, BundleErrorCode.RANGE_EMPTY) { "a range of the region goes from $low to $high" }
    }
}

private fun refuseUnless(
    holds: Boolean,
    refusal: BundleErrorCode,
    what: () -> String,
) {
    if (!holds) throw BundleError(refusal, "$MANIFEST_FILE: ${what()}; $EXPORT_AGAIN")
}

private fun dot(
    a: List<Double>,
    b: List<Double>,
) = a.indices.sumOf { a[it] * b[it] }

private fun isRigid(pose: List<Double>): Boolean {
    val rows = List(3) { Vector(pose.subList(4 * it, 4 * it + 3)) }
    val error = (0..2).maxOf { i -> (0..2).maxOf { j -> abs(rows[i].dot(rows[j]) - if (i == j) 1 else 0) } }
    return error < RIGID_TOLERANCE && rows[0].dot(Vector().setCross(rows[1], rows[2])) > 0
}
