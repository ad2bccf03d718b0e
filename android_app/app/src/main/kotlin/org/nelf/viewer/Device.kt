package org.nelf.viewer

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import org.nelf.core.DeviceInfo
import org.nelf.core.Thermal

/** What this device says of itself and of how hot it is. */
class Device(
    private val context: Context,
) {
    private val power = context.getSystemService(PowerManager::class.java)

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

    fun thermal(): Thermal {
        val headroom = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) power.getThermalHeadroom(0) else Float.NaN
        val battery = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val tenths = battery?.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Int.MIN_VALUE) ?: Int.MIN_VALUE
        return Thermal(
            status = thermalStatus(),
            headroom = headroom.takeIf { it.isFinite() }?.toDouble(),
            batteryCelsius = if (tenths == Int.MIN_VALUE) null else tenths / 10.0,
        )
    }

    /** Proportional set size, in megabytes. */
    fun memoryMegabytes(): Double = Debug.MemoryInfo().also(Debug::getMemoryInfo).totalPss / 1024.0
}
