package org.nelf.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.sin

/** An orbit region: the camera circles the centre in spherical coordinates, each held to its range. */
internal class OrbitMotion(
    region: OrbitRegion,
    private val span: Double,
) : Motion {
    private val center = Vector(region.center)
    private val above = Vector(region.up)
    private val zero = Vector(region.azimuthZero)
    private val side = Vector().setCross(above, zero)
    private val nearest = region.radius[0]
    private val farthest = region.radius[1]
    private val lowest = Math.toRadians(region.elevation[0])
    private val highest = Math.toRadians(region.elevation[1])
    private val halfArc = Math.toRadians(region.azimuthWidth) / 2
    private val middle = Math.toRadians(region.azimuthStart) + halfArc
    private val allAround = region.azimuthWidth >= 360

    private var turn = 0.0 // from the middle of the arc
    private var elevation = 0.0
    private var radius = 0.0
    private val shift = Shift()

    private val away = Vector()
    private val right = Vector()
    private val up = Vector()
    private val back = Vector()
    private val eye = Vector()

    init {
        reset()
    }

    override fun reset() {
        turn = 0.0
        elevation = clamp(START_ELEVATION, lowest, highest)
        radius = (nearest + farthest) / 2
        shift.reset()
    }

    override fun orbit(
        dx: Double,
        dy: Double,
    ) {
        turn -= dx * TURN
        turn = if (allAround) turn - 2 * PI * floor((turn + PI) / (2 * PI)) else clamp(turn, -halfArc, halfArc)
        elevation = clamp(elevation + dy * TURN, lowest, highest)
    }

    override fun pan(
        dx: Double,
        dy: Double,
    ) = shift.move(dx * span, dy * span)

    override fun dolly(logScale: Double) {
        radius = clamp(radius * exp(-logScale), nearest, farthest)
    }

    override fun setPose(c2w: DoubleArray) {
        val azimuth = middle + turn
        away
            .set(zero)
            .times(cos(azimuth))
            .add(side, sin(azimuth))
            .times(cos(elevation))
            .add(above, sin(elevation))
        right.set(side).times(cos(azimuth)).add(zero, -sin(azimuth)) // defined at the poles too
        up.setCross(away, right)
        back
            .set(away)
            .add(right, -shift.x)
            .add(up, -shift.y)
            .unit(away)
        eye.setCross(up, back).unit(right)
        right.set(eye)
        eye.set(center).add(away, radius)
        setPose(c2w, right, up.setCross(back, right), back, eye)
    }

    private companion object {
        val START_ELEVATION = Math.toRadians(20.0)
    }
}
