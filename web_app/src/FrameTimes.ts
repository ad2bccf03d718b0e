/** How long the last pictures took: a ring, so that nothing is allocated while pictures come. */

const COUNT = 120;

export class FrameTimes {
  private readonly times: Float64Array;
  private readonly sorted: Float64Array;
  private next = 0;
  /** Of all pictures since the beginning. */
  total = 0;

  constructor(private readonly count = COUNT) {
    this.times = new Float64Array(count);
    this.sorted = new Float64Array(count);
  }

  add(milliseconds: number): void {
    this.times[this.next] = milliseconds;
    this.next = (this.next + 1) % this.count;
    this.total++;
  }

  clear(): void {
    this.next = 0;
    this.total = 0;
  }

  /** The time that a share of the last pictures did not exceed (nearest rank); NaN where there are none. */
  quantile(share: number): number {
    const count = Math.min(this.total, this.count);
    if (count === 0) return Number.NaN;
    const sorted = this.sorted.subarray(0, count);
    sorted.set(this.times.subarray(0, count));
    sorted.sort();
    return sorted[Math.max(0, Math.ceil(share * count) - 1)]!;
  }

  get median(): number {
    return this.quantile(0.5);
  }

  get p95(): number {
    return this.quantile(0.95);
  }
}
