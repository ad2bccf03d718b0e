package org.nelf.viewer

import android.app.Activity
import android.os.Build
import android.view.View
import android.view.WindowInsets

/** The view [id] of the activity's layout, which is known to have one of that type. */
@Suppress("UNCHECKED_CAST")
fun <T : View> Activity.viewOf(id: Int): T {
    val found: View = findViewById(id)
    return found as T
}

/** Keeps what is in [view] clear of the system's bars, under which Android 15 and later draw every app. */
fun keepClearOfSystemBars(view: View) {
    if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return
    view.setOnApplyWindowInsetsListener { padded, insets ->
        val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
        padded.setPadding(bars.left, bars.top, bars.right, bars.bottom)
        insets
    }
}
