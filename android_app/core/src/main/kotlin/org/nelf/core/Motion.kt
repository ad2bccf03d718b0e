package org.nelf.core

import kotlin.math.PI
import kotlin.math.min

/**
 * How a gesture moves the camera in one kind of region, and what keeps it inside. docs/viewers.md has the formulas.
 *
 * Lengths are fractions of the view's shorter side, x to the right and y downwards.
 */
internal interface Motion {
    fun orbit(
        dx: Double,
        dy: Double,
    )

    fun pan(
        dx: Double,
        dy: Double,
    )

    /** [logScale]: natural logarithm of how much larger things get. */
    fun dolly(logScale: Double)

    fun reset()

    fun setPose(c2w: DoubleArray)
}

/** Radians that a drag over the view's shorter side turns by. */
internal const val TURN = PI

/** Farthest that the point looked at moves from its place, as a share of its distance, to each side. */
private const val PAN_LIMIT = 0.15

/** The motion for the region of [manifest]. */
internal fun motionOf(manifest: Manifest): Motion =
    when (val region = manifest.region) {
        is OrbitRegion -> {
            OrbitMotion(region, spanOf(manifest))
        }

        is BoxRegion -> {
            when (val nearby = region.nearby) {
                null -> BoxMotion(region, manifest.camera, spanOf(manifest))
                else -> NearbyCamerasMotion(nearby, manifest.camera, spanOf(manifest))
            }
        }
    }

/** Width of what the image's shorter side shows at distance 1. */
private fun spanOf(manifest: Manifest): Double {
    val (fx, fy) = manifest.camera.intrinsics
    return min(manifest.image.width / fx, manifest.image.height / fy)
}

/** How far the point looked at was moved aside, as shares of its distance. */
internal class Shift {
    var x = 0.0
        private set
    var y = 0.0
        private set

    fun reset() {
        x = 0.0
        y = 0.0
    }

    fun move(
        dx: Double,
        dy: Double,
    ) {
        x = (x - dx).coerceIn(-PAN_LIMIT, PAN_LIMIT)
        y = (y + dy).coerceIn(-PAN_LIMIT, PAN_LIMIT)
    }
}
