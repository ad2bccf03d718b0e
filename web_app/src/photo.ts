/** The photo that was taken nearest to the view, where the server has photos. */

import { find, on, show } from "./elements";
import { add, columns, dot, type Pose } from "./geometry";
import { HERE, type Photo, photos } from "./site";

/** Show the nearest photo next to the view when it is asked for. Returns what is to be called after a move. */
export async function nearestPhoto(pose: () => Pose): Promise<() => void> {
  const all = await photos();
  if (all.length === 0) return () => undefined;
  show("photo-toggle");
  const image = find<HTMLImageElement>("photo");
  let asked = false;
  const update = () => {
    if (!asked) return;
    const { href } = new URL(all[nearest(all, pose())]!.path, HERE);
    if (image.src !== href) image.src = href;
  };
  on("photo-toggle", "click", () => {
    asked = !asked;
    find("photo-toggle").setAttribute("aria-pressed", String(asked));
    show("photo", asked);
    update();
  });
  return update;
}

/** The index of the photo whose camera is nearest: by place, and by direction at the scale of the scene. */
export function nearest(all: readonly Photo[], pose: Pose): number {
  const [, , back, eye] = columns(pose);
  const scale = dot(eye, eye);
  const distances = all.map(({ c2w }) => {
    const [, , otherBack, otherEye] = columns(c2w);
    const place = add(eye, otherEye, -1);
    const look = add(back, otherBack, -1);
    return dot(place, place) + scale * dot(look, look);
  });
  return distances.indexOf(Math.min(...distances));
}
