package android.os;

public final class PowerManager {
    public int getCurrentThermalStatus() {
        throw new UnsupportedOperationException();
    }

    public float getThermalHeadroom(int forecastSeconds) {
        throw new UnsupportedOperationException();
    }
}
