package org.nelf.viewer

import android.content.Context
import android.hardware.Sensor
import android.hardware.SensorEvent
import android.hardware.SensorEventListener
import android.hardware.SensorManager
import android.view.Surface

/** The phone's attitude, in the axes of the screen as it is turned: x right, y up, z out of it. */
class TiltSensor(
    context: Context,
    private val screenRotation: () -> Int,
    private val onTurn: (FloatArray) -> Unit,
) : SensorEventListener {
    private val manager = context.getSystemService(SensorManager::class.java)
    private val sensor: Sensor? =
        manager.getDefaultSensor(Sensor.TYPE_GAME_ROTATION_VECTOR)
            ?: manager.getDefaultSensor(Sensor.TYPE_ROTATION_VECTOR)
    private val natural = FloatArray(9)
    private val turned = FloatArray(9)

    /** Whether the phone has such a sensor. */
    val available: Boolean get() = sensor != null

    fun start() {
        manager.registerListener(this, sensor ?: return, SensorManager.SENSOR_DELAY_GAME)
    }

    fun stop() = manager.unregisterListener(this)

    override fun onSensorChanged(event: SensorEvent) {
        SensorManager.getRotationMatrixFromVector(natural, event.values)
        val (x, y) = AXES.getValue(screenRotation())
        SensorManager.remapCoordinateSystem(natural, x, y, turned)
        onTurn(turned)
    }

    override fun onAccuracyChanged(
        sensor: Sensor,
        accuracy: Int,
    ) = Unit

    private companion object {
        /** Axes of the phone that the screen's x and y axes lie along. */
        val AXES =
            mapOf(
                Surface.ROTATION_0 to (SensorManager.AXIS_X to SensorManager.AXIS_Y),
                Surface.ROTATION_90 to (SensorManager.AXIS_Y to SensorManager.AXIS_MINUS_X),
                Surface.ROTATION_180 to (SensorManager.AXIS_MINUS_X to SensorManager.AXIS_MINUS_Y),
                Surface.ROTATION_270 to (SensorManager.AXIS_MINUS_Y to SensorManager.AXIS_X),
            )
    }
}
