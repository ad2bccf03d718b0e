/** Short names for what the page does with its elements. */

export function find<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export function text(id: string, content: string): void {
  find(id).textContent = content;
}

export function show(id: string, shown = true): void {
  find(id).hidden = !shown;
}

export function on(id: string, event: string, call: () => void): void {
  find(id).addEventListener(event, call);
}

/** A new element with a text and attributes. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  content = "",
  attributes: Record<string, string> = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.textContent = content;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** A list of terms and what they are. */
export function fill(list: HTMLElement, entries: readonly (readonly [string, string])[]): void {
  list.replaceChildren(...entries.flatMap(([term, value]) => [element("dt", term), element("dd", value)]));
}

let fading: ReturnType<typeof setTimeout> | undefined;

/** A line that goes by itself. */
export function say(message: string): void {
  text("toast", message);
  show("toast");
  clearTimeout(fading);
  fading = setTimeout(show, 4000, "toast", false);
}

export function prefersCalm(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** What this browser remembers under a name; false where it has no storage. */
export function recalls(name: string): boolean {
  try {
    return localStorage.getItem(name) !== null;
  } catch {
    return false;
  }
}

export function remembers(name: string, wanted = true): void {
  try {
    if (wanted) localStorage.setItem(name, "1");
    else localStorage.removeItem(name);
  } catch {
    return; // no storage: it is asked again next time
  }
}
