/** Why a bundle is refused: the codes of docs/viewers.md, the same in all viewers, and what to do about each. */

const AGAIN = "Export the bundle again: nelf export RUN --target web";

export const REMEDIES = {
  not_a_bundle: "Open the folder that “nelf export” wrote, with manifest.json in it.",
  unsupported_version: AGAIN,
  invalid_manifest: AGAIN,
  unsafe_path: "Do not use this bundle: it names files outside of its folder.",
  damaged_file: "The bundle is damaged. Copy it again, or export it again.",
  unsupported_target: "Browsers run LiteRT bundles. Make one with: nelf export RUN --target web",
  unreachable: "Is “nelf view” still running? Start it again and reload this page.",
  runtime_failed:
    "Reload the page. If that does not help, try another browser (Chrome, Edge, Firefox, Safari).",
} as const;

export type BundleErrorCode = keyof typeof REMEDIES;

/** Something that a person can put right: a code, what is wrong, and what to do. */
export class BundleError extends Error {
  override readonly name = "BundleError";

  constructor(
    readonly code: BundleErrorCode,
    message: string,
    readonly remedy: string = REMEDIES[code],
  ) {
    super(message);
  }
}
