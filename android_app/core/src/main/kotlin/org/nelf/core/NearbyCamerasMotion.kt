package org.nelf.core

import kotlin.math.abs
import kotlin.math.asin
import kotlin.math.max

/** A box region with cameras: the camera goes anywhere, and is drawn back to the nearest of them. */
internal class NearbyCamerasMotion(
    nearby: NearbyCameras,
    camera: CameraInfo,
    private val span: Double,
) : Motion {
    private val eyes = nearby.cameras.map { column(it, 3) }
    private val backs = nearby.cameras.map { column(it, 2).unit(Vector(0.0, 0.0, 1.0)) }
    private val maxDistance = nearby.maxDistance
    private val maxAngle = Math.toRadians(nearby.maxAngle)
    private val above = Vector(camera.up)
    private val focus = Vector(camera.focus)
    private val distance = eyes.sumOf { Vector().set(it).add(focus, -1.0).length } / eyes.size

    private val aside = Vector().setAcross(above)
    private val eye = Vector()
    private val back = Vector()

    private val right = Vector()
    private val up = Vector()
    private val spare = Vector()

    init {
        reset()
    }

    override fun reset() {
        eye.set(eyes[0])
        back.set(backs[0])
    }

    override fun orbit(
        dx: Double,
        dy: Double,
    ) {
        turn(above, -dx * TURN)
        val elevation = asin(clamp(back.dot(above), -1.0, 1.0))
        val steepest = max(STEEPEST, abs(elevation))
        setAxes()
        turn(right, elevation - clamp(elevation + dy * TURN, -steepest, steepest))
        stay()
    }

    override fun pan(
        dx: Double,
        dy: Double,
    ) {
        setAxes()
        eye.add(right, -dx * span * distance).add(up, dy * span * distance)
        stay()
    }

    override fun dolly(logScale: Double) {
        eye.add(back, -logScale * distance)
        stay()
    }

    override fun setPose(c2w: DoubleArray) {
        setAxes()
        setPose(c2w, right, up, back, eye)
    }

    /** The image's axes, upright. */
    private fun setAxes() {
        spare.setCross(aside, back).unit(aside)
        right.setCross(above, back).unit(spare)
        up.setCross(back, right)
    }

    /** Turns everything about an axis through the focus. */
    private fun turn(
        axis: Vector,
        angle: Double,
    ) {
        eye.add(focus, -1.0).turn(axis, angle).add(focus)
        spare.set(back)
        back.turn(axis, angle).unit(spare)
    }

    private fun stay() {
        var nearest = 0
        for (index in 1 until eyes.size) {
            if (difference(index) < difference(nearest)) nearest = index
        }
        val size = spare.set(eye).add(eyes[nearest], -1.0).length
        if (size > maxDistance) eye.set(eyes[nearest]).add(spare, maxDistance / size)
        back.approach(backs[nearest], maxAngle)
    }

    private fun difference(index: Int): Double {
        val place = spare.set(eye).add(eyes[index], -1.0).let { it.dot(it) }
        val look = spare.set(back).add(backs[index], -1.0).let { it.dot(it) }
        return place + distance * distance * look
    }

    private companion object {
        val STEEPEST = Math.toRadians(85.0)
    }
}
