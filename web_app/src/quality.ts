/** What a slow machine does differently: the quality ladder. */

/** direct: only the network's own pictures. warped: the last one is turned to the pose until the next is there. */
export type Quality = "direct" | "warped";

/** Median milliseconds a picture above which it is warped, and below which no longer; apart, so as not to flicker. */
const SLOW = 40;
const FAST = 30;

export function nextQuality(now: Quality, median: number): Quality {
  if (median > SLOW) return "warped";
  return median < FAST ? "direct" : now;
}
