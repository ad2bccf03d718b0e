/** Why a bundle is refused: the codes of docs/viewers.md, the same in all viewers, and what to do about each. */

export const REMEDIES = {
  manifest_missing: "Open the folder that “nelf export” wrote, with manifest.json in it.",
  manifest_too_large: "Open a bundle that “nelf export” wrote.",
  manifest_unreadable: "The file was cut short or edited. Copy the bundle again, or export it again.",
  not_a_bundle: "Open the folder that “nelf export” wrote.",
  version_unknown: "Install the nelf that made this bundle, or export it again with yours.",
  manifest_invalid: "Export the bundle again: nelf export RUN --target web",
  shape_mismatch: "Export the bundle again: nelf export RUN --target web",
  direction_not_unit: "Export the bundle again: nelf export RUN --target web",
  rotation_invalid: "Export the bundle again: nelf export RUN --target web",
  range_empty: "Export the bundle again: nelf export RUN --target web",
  path_outside: "Do not use this bundle: it names files outside of its folder.",
  file_twice: "Export the bundle again: nelf export RUN --target web",
  file_unlisted: "Export the bundle again: nelf export RUN --target web",
  file_missing: "The bundle is incomplete. Copy it again, or export it again.",
  file_size: "The bundle is damaged. Copy it again, or export it again.",
  file_changed: "The bundle is damaged. Copy it again, or export it again.",
  golden_unreadable: "Export the bundle again: nelf export RUN --target web",
  target_unsupported: "Browsers run LiteRT bundles. Make one with: nelf export RUN --target web",
  output_unsupported: "Export the bundle again: nelf export RUN --target web",
  unreachable: "Is “nelf view” still running? Start it again and reload this page.",
  runtime_failed:
    "Reload the page. If that does not help, try another browser (Chrome, Edge, Firefox, Safari).",
} as const;

export type RefusalCode = keyof typeof REMEDIES;

/** Something that a person can put right: a code, what is wrong, and what to do. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(
    readonly code: RefusalCode,
    message: string,
  ) {
    super(message);
  }

  get remedy(): string {
    return REMEDIES[this.code];
  }
}
