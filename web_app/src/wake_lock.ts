/** Keeps the screen awake while somebody moves the picture, and a little longer. */

const REST = 15_000; // ms after the last move

export class WakeLock {
  private lock: WakeLockSentinel | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking = false;

  /** The picture moves. A browser that refuses (low battery) or has no lock just lets the screen sleep. */
  moved(rest = REST): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.release(), rest);
    if (this.asking || this.lock?.released === false) return;
    this.asking = true;
    void navigator.wakeLock
      ?.request("screen")
      .then((lock) => {
        this.lock = lock;
      })
      .catch(() => undefined)
      .finally(() => {
        this.asking = false;
      });
  }

  release(): void {
    clearTimeout(this.timer);
    void this.lock?.release();
    this.lock = undefined;
  }
}
