package org.nelf.core

import kotlin.math.min

/** Region `box`: the camera shifts inside the box, in the frame of its reference camera, and looks at the focus. */
internal class BoxMotion(
    region: BoxRegion,
    camera: CameraInfo,
    private val span: Double,
) : Motion {
    private val axes = List(3) { column(region.reference, it) }
    private val origin = column(region.reference, 3)
    private val low = Vector(region.low)
    private val high = Vector(region.high)
    private val widest = Math.toRadians(region.angle)
    private val aim: Vector

    private val place = Vector()
    private val shift = Shift()

    private val right = Vector()
    private val up = Vector()
    private val back = Vector()
    private val worldRight = Vector()
    private val worldUp = Vector()
    private val worldBack = Vector()
    private val eye = Vector()

    init {
        val offset = Vector(camera.focus).add(origin, -1.0)
        // Before the box, wherever the focus is.
        aim = Vector(offset.dot(axes[0]), offset.dot(axes[1]), min(offset.dot(axes[2]), low.z - camera.near))
        reset()
    }

    override fun reset() {
        shift.reset()
        place.set(0.0, 0.0, 0.0)
        stay()
    }

    override fun orbit(
        dx: Double,
        dy: Double,
    ) {
        place.x -= dx * (high.x - low.x)
        place.y += dy * (high.y - low.y)
        stay()
    }

    override fun pan(
        dx: Double,
        dy: Double,
    ) = shift.move(dx * span, dy * span)

    override fun dolly(logScale: Double) {
        place.z -= logScale * (high.z - low.z)
        stay()
    }

    override fun setPose(c2w: DoubleArray) {
        val distance = place.z - aim.z
        back.set(place).add(aim, -1.0)
        back.x -= shift.x * distance
        back.y -= shift.y * distance
        back.unit(AHEAD).approach(AHEAD, widest)
        right.set(back.z, 0.0, -back.x).unit(ASIDE)
        up.setCross(back, right)
        setWorld(worldRight, right)
        setWorld(worldUp, up)
        setWorld(worldBack, back)
        setWorld(eye, place)
        setPose(c2w, worldRight, worldUp, worldBack, eye.add(origin))
    }

    private fun stay() {
        place.set(clamp(place.x, low.x, high.x), clamp(place.y, low.y, high.y), clamp(place.z, low.z, high.z))
    }

    private fun setWorld(
        world: Vector,
        local: Vector,
    ) {
        world
            .set(axes[0])
            .times(local.x)
            .add(axes[1], local.y)
            .add(axes[2], local.z)
    }

    private companion object {
        val AHEAD = Vector(0.0, 0.0, 1.0)
        val ASIDE = Vector(1.0, 0.0, 0.0)
    }
}
