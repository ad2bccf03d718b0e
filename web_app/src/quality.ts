/** What a slow machine does differently: the quality ladder. The network has one size, so that stays as it is. */

/**
 * direct: only the network's own pictures. warped: the last one is turned to the pose until the next is there. halved:
 * warped, at half the screen's resolution.
 */
export type Quality = "direct" | "warped" | "halved";

/** Median milliseconds a picture above which it is warped, and below which no longer; apart, so as not to flicker. */
const SLOW = 40;
const FAST = 30;
/** Median milliseconds between frames of the screen, above which even the warp is too much work. */
const CHOPPY = 28;

export const QUALITY_NAMES: Record<Quality, string> = {
  direct: "every picture computed",
  warped: "last picture turned",
  halved: "last picture turned, half resolution",
};

/** `median`: ms of the network's pictures. `interval`: ms between frames of the screen while warped; NaN: not known. */
export function nextQuality(now: Quality, median: number, interval = Number.NaN): Quality {
  if (median < FAST) return "direct";
  if (median > SLOW && now === "direct") return "warped";
  return now === "warped" && interval > CHOPPY ? "halved" : now;
}
