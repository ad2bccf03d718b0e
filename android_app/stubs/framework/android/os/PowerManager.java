package android.os;

public final class PowerManager {
    public static final int THERMAL_STATUS_NONE = 0;

    public int getCurrentThermalStatus() {
        throw new UnsupportedOperationException();
    }
}
