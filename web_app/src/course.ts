/** Times of a benchmark: all of them for the mean and the quantiles, and those of each second. */

import { FrameTimes } from "./FrameTimes";

export interface Second {
  second: number;
  frames: number;
  median: number;
}

export interface Latency {
  median: number;
  p95: number;
  mean: number;
}

export class Course {
  readonly seconds: Second[] = [];
  private readonly all: number[] = [];
  private current: number[] = [];

  /** A picture took so many milliseconds, `at` milliseconds after the start. */
  add(milliseconds: number, at: number): void {
    const second = Math.floor(at / 1000);
    while (this.seconds.length < second) this.finishSecond();
    this.all.push(milliseconds);
    this.current.push(milliseconds);
  }

  get frames(): number {
    return this.all.length;
  }

  latency(): Latency {
    const { median, p95 } = quantiles(this.all);
    const mean = this.all.reduce((sum, one) => sum + one, 0) / this.all.length;
    return { median, p95, mean };
  }

  private finishSecond(): void {
    const { current, seconds } = this;
    // A second without a picture has no median: the time of one is at least the second.
    const median = current.length > 0 ? quantiles(current).median : 1000;
    seconds.push({ second: seconds.length, frames: current.length, median });
    this.current = [];
  }
}

function quantiles(times: readonly number[]): { median: number; p95: number } {
  const ring = new FrameTimes(times.length);
  for (const time of times) ring.add(time);
  return ring;
}
