package android.view;

import android.graphics.Insets;

public final class WindowInsets {
    public Insets getInsets(int types) {
        throw new UnsupportedOperationException();
    }

    public static final class Type {
        public static int systemBars() {
            throw new UnsupportedOperationException();
        }

        public static int displayCutout() {
            throw new UnsupportedOperationException();
        }
    }
}
