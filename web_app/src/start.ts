/** The start page: the bundles beside the page, to open one or compare two. */

import { element, find, on, show, text } from "./elements";
import type { Listed } from "./site";

const COMPARED = 2;

export function startPage(bundles: readonly Listed[]): void {
  document.title = "Scenes · nelf";
  show("start");
  text("start-about", bundles.length === 1 ? "1 bundle" : `${bundles.length} bundles`);
  find("cards").replaceChildren(...bundles.map(card));
  show("compare-bar", bundles.length >= COMPARED);
  const chosen = () => [...find("cards").querySelectorAll<HTMLInputElement>("input:checked")];
  const changed = () => {
    const count = chosen().length;
    find<HTMLButtonElement>("compare").disabled = count !== COMPARED;
    text("compare-hint", count === COMPARED ? "" : "Tick two scenes to compare them");
    for (const box of find("cards").querySelectorAll<HTMLInputElement>("input")) {
      box.disabled = count === COMPARED && !box.checked;
    }
  };
  find("cards").addEventListener("change", changed);
  changed();
  on("compare", "click", () => {
    const [a, b] = chosen().map((box) => box.value);
    location.href = `./?${new URLSearchParams({ bundle: a!, compare: b! })}`;
  });
}

function card(bundle: Listed): HTMLElement {
  const { id, name, student, target, precision, width, height, picture } = bundle;
  const item = element("li");
  const link = element("a", "", { href: `./?${new URLSearchParams({ bundle: id })}` });
  const image = picture
    ? element("img", "", {
        src: picture,
        alt: "",
        width: String(width),
        height: String(height),
        loading: "lazy",
      })
    : element("div", name.slice(0, 1).toUpperCase(), { class: "no-picture", "aria-hidden": "true" });
  link.append(
    image,
    element("h2", name),
    element("p", `${student} · ${precision} · ${target}`, { class: "quiet" }),
  );
  const label = element("label");
  label.append(element("input", "", { type: "checkbox", value: id }), "Compare");
  const facts = element("p", figures(bundle).join(" · "), { class: "figures" });
  item.append(link, facts, label);
  return item;
}

/** What is known of a bundle, a few words each. */
export function figures({ psnr, bytes, milliseconds, device, width, height }: Listed): string[] {
  return [
    `${width} × ${height}`,
    `${(bytes / 1e6).toFixed(1)} MB`,
    ...(psnr === null ? [] : [`${psnr.toFixed(1)} dB`]),
    ...(milliseconds === null ? [] : [`${milliseconds.toFixed(1)} ms${device ? ` on ${device}` : ""}`]),
  ];
}
