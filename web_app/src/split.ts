/** The split screen: two networks at one pose, and a slider that says where one ends and the other begins. */

import { find, on, show, text } from "./elements";

/** Show the second canvas to the right of a line that the slider moves. */
export function splitScreen(left: string, right: string): void {
  text("left-label", left);
  text("right-label", right);
  for (const id of ["other", "split", "left-label", "right-label"]) show(id);
  const slider = find<HTMLInputElement>("split");
  const moved = () => {
    find("stage").style.setProperty("--split", String(slider.valueAsNumber / 100));
    slider.setAttribute("aria-valuetext", `${slider.value} % ${left}, the rest ${right}`);
  };
  on("split", "input", moved);
  moved();
}
