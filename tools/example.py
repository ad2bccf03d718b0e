"""Makes the bundle that `nelf view --example` opens: a student of the embedded scene, for Android, in 8 bits.

python -m tools.example RUN      a run of datasets/stilllife, such as runs/stilllife after `make demo`

The bundle is exported into the run, executed, and then put into nelf/viewer/example, in place of the one before.
"""

import shutil
import sys
from pathlib import Path

from nelf.core.errors import ExportError, NelfError
from nelf.core.files import atomic_path
from nelf.core.progress import say, stoppable
from nelf.export import Manifest, read_manifest, verify_bundle
from nelf.pipeline import Run, export_to, is_run
from nelf.viewer.site import EXAMPLE

SCENE = "stilllife"
TARGET, PRECISION = "android", "int8"
MOST_BYTES = 2_000_000
"""Of the model's file: it is committed, and part of the wheel."""


def make(run_folder: Path) -> Manifest:
    """Export the run's student and make it the example. Raises NelfError where it cannot be that."""
    if not is_run(run_folder):
        raise ExportError(f"{run_folder} is no run; make one with: nelf demo")
    asked = [f"export.targets=[{TARGET}]", f"export.precision={PRECISION}", "export.image_output=false"]
    run = Run.open(run_folder, asked, say=say)
    if run.scene.name != SCENE:
        raise ExportError(f"{run_folder} is of the scene {run.scene.name}; the example is of {SCENE}: nelf demo")
    with run.locked(), stoppable() as stop:
        (bundle,) = export_to(run, run.folder / "export", stop, say)
    model = bundle / read_manifest(bundle).model.path
    if (size := model.stat().st_size) > MOST_BYTES:
        raise ExportError(f"{model} has {size} bytes, the example at most {MOST_BYTES}; train a smaller student")
    verified = verify_bundle(bundle)
    if not verified.passed:
        raise ExportError(f"{bundle} is not what was exported: {verified.reason}")
    with atomic_path(EXAMPLE) as temporary:
        shutil.copytree(bundle, temporary)
    return read_manifest(EXAMPLE)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tools.example RUN", file=sys.stderr)
        return 2
    try:
        manifest = make(Path(sys.argv[1]))
    except NelfError as error:
        say(f"nelf: {error}")
        return error.exit_code
    quality = manifest.quality
    shows = f"{quality.psnr:.2f} dB on test photos" if quality and quality.psnr is not None else "no photo to compare"
    size = (EXAMPLE / manifest.model.path).stat().st_size
    print(f"{EXAMPLE}: {manifest.student.name}, {size / 1e6:.2f} MB, {shows}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
