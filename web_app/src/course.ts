/** Times of a benchmark: a warm-up, a measured time, a sustained one. tests/vectors/benchmark.json holds it to the apps'. */

import { FrameTimes } from "./FrameTimes";

/** A second, and the pictures in it. */
export interface Second {
  second: number;
  frames: number;
  median: number;
}

export interface Latency {
  median: number;
  p90: number;
  p95: number;
  mean: number;
}

/** How long to measure. */
export interface Durations {
  warm_up_seconds: number;
  seconds: number;
  minutes: number | null;
}

export type Phase = "warm up" | "measured" | "sustained";

/** The times of one phase. */
class Course {
  readonly seconds: Second[] = [];
  readonly all: number[] = [];
  /** From the start of the phase to its last picture, in seconds. */
  past = 0;
  private current: number[] = [];

  /** A picture took so many milliseconds, and was there so many seconds after the start of the phase. */
  add(milliseconds: number, past: number): void {
    const second = Math.floor(past);
    while (this.seconds.length < second) this.finishSecond();
    this.all.push(milliseconds);
    this.current.push(milliseconds);
    this.past = past;
  }

  private finishSecond(): void {
    const { current, seconds } = this;
    // A second without a picture has no median: the time of one is at least the second.
    const median = current.length > 0 ? quantiles(current).median : 1000;
    seconds.push({ second: seconds.length, frames: current.length, median });
    this.current = [];
  }
}

export class Measurement {
  private readonly measured = new Course();
  private readonly kept = new Course();
  private readonly phases: { phase: Phase; length: number; course?: Course }[];

  /** The clock is in seconds, and shows `start` now. */
  constructor(
    { warm_up_seconds, seconds, minutes }: Durations,
    private start: number,
  ) {
    const all = [
      { phase: "warm up", length: warm_up_seconds },
      { phase: "measured", length: seconds, course: this.measured },
      { phase: "sustained", length: 60 * (minutes ?? 0), course: this.kept },
    ] as const;
    this.phases = all.filter(({ length }) => length > 0);
  }

  /** A picture took so many milliseconds, and was there at `now`. Returns whether to go on. */
  add(milliseconds: number, now: number): boolean {
    const [current] = this.phases;
    if (!current) return false;
    const past = now - this.start;
    current.course?.add(milliseconds, past);
    if (past >= current.length) {
      this.phases.shift();
      this.start = now; // the next phase begins with the next picture
    }
    return this.phases.length > 0;
  }

  get phase(): Phase | undefined {
    return this.phases[0]?.phase;
  }

  /** Pictures that count. */
  get frames(): number {
    return this.measured.all.length;
  }

  /** Of the measured time; sustained: its seconds where there is no sustained run. */
  figures(): { frames: number; rate: number; latency: Latency; sustained: Second[] } {
    const { all, past } = this.measured;
    const { median, p90, p95 } = quantiles(all);
    const mean = all.reduce((sum, one) => sum + one, 0) / all.length;
    return {
      frames: all.length,
      rate: past > 0 ? all.length / past : 0,
      latency: { median, p90, p95, mean },
      sustained: (this.kept.all.length > 0 ? this.kept : this.measured).seconds,
    };
  }
}

function quantiles(times: readonly number[]): { median: number; p90: number; p95: number } {
  const ring = new FrameTimes(times.length);
  for (const time of times) ring.add(time);
  return { median: ring.median, p90: ring.quantile(0.9), p95: ring.p95 };
}
