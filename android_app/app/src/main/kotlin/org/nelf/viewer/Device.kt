package org.nelf.viewer

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import org.nelf.core.Condition
import org.nelf.core.DeviceInfo

/** What this device says of itself and of how hot it is. */
class Device(
    private val context: Context,
) {
    private val power = context.getSystemService(PowerManager::class.java)
    private val battery = context.getSystemService(BatteryManager::class.java)

    fun info(): DeviceInfo {
        val known = Build.VERSION.SDK_INT >= Build.VERSION_CODES.S
        return DeviceInfo(
            manufacturer = Build.MANUFACTURER,
            model = Build.MODEL,
            soc = if (known) "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}" else "",
            os = "Android ${Build.VERSION.RELEASE}",
            app =
                context.packageManager
                    .getPackageInfo(context.packageName, 0)
                    .versionName
                    .orEmpty(),
        )
    }

    /** From 0, none, to 6, shutdown; null before Android 10. */
    fun thermalStatus(): Int? = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) power.currentThermalStatus else null

    /** How warm it is, and its battery. Some systems tell no current, and then say the least number or 0. */
    fun condition(): Condition {
        val headroom = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) power.getThermalHeadroom(0) else Float.NaN
        val intent = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val told = { name: String -> intent?.getIntExtra(name, Int.MIN_VALUE)?.takeIf { it != Int.MIN_VALUE } }
        val level = told(BatteryManager.EXTRA_LEVEL)
        val scale = told(BatteryManager.EXTRA_SCALE)
        val entering = battery.getIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW) // microamperes
        return Condition(
            thermalStatus = thermalStatus(),
            headroom = headroom.takeIf { it.isFinite() }?.toDouble(),
            batteryCelsius = told(BatteryManager.EXTRA_TEMPERATURE)?.let { it / 10.0 },
            batteryPercent = if (level == null || scale == null || scale <= 0) null else 100.0 * level / scale,
            batteryMilliamperes = if (entering == Int.MIN_VALUE || entering == 0) null else -entering / 1000.0,
            batteryVolts = told(BatteryManager.EXTRA_VOLTAGE)?.let { it / 1000.0 },
            charging = told(BatteryManager.EXTRA_PLUGGED)?.let { it != 0 },
        )
    }

    /** Proportional set size, in megabytes. */
    fun memoryMegabytes(): Double = Debug.MemoryInfo().also(Debug::getMemoryInfo).totalPss / 1024.0
}
