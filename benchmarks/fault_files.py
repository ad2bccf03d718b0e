"""What the folder of a killed run holds; what benchmarks/faults.py looks at after every kill."""

import json
from pathlib import Path

FOLDERS = {"teach": "teacher", "distill": "pseudo", "train": "student"}


def stage_of(run: Path) -> str | None:
    """The stage that a run's files have reached; None beyond the last one."""
    for stage, folder in FOLDERS.items():
        try:
            if "outputs" not in json.loads((run / folder / "stage.json").read_text()):
                return stage
        except FileNotFoundError:
            return stage
    return None if (run / "eval").exists() else "export"


def check_whole(run: Path) -> int:
    """Read every file of `run` that is not hidden; return their number. TensorBoard's logs grow line by line."""
    import numpy as np
    import torch
    import yaml
    from PIL import Image
    from safetensors import safe_open

    from nelf.bundle import open_bundle

    count = 0
    for path in sorted(run.rglob("*")):
        inside = path.relative_to(run)
        if path.is_dir() or any(part.startswith(".") for part in inside.parts) or "tfevents" in path.name:
            continue
        count += 1
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            with Image.open(path) as image:
                np.asarray(image)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                _ = [stream.get_tensor(key) for key in stream.keys()]  # noqa: SIM118
        elif path.suffix == ".yaml":
            yaml.safe_load(path.read_text())
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        else:
            assert inside.parts[0] == "export", f"{path}: who reads this?"
    for bundle in (run / "export").glob("*"):
        if not bundle.name.startswith("."):
            open_bundle(bundle)  # every byte against the manifest's SHA-256
    return count


def saved_seconds(run: Path, stage: str) -> float:
    """Seconds of training in the newest checkpoint."""
    from nelf.core.checkpoints import CheckpointFolder

    found = CheckpointFolder(run / FOLDERS[stage] / "checkpoints").latest()
    if found is None:
        return 0.0
    state = found[1]
    if stage == "teach":
        return float(state["seconds"])
    return float(state["course"]["seconds_before"] + state["course"]["seconds"])


def results(run: Path) -> dict[str, str]:
    """SHA-256 of the outputs of a finished run."""
    from nelf.core.files import sha256

    names = (
        "teacher/teacher.safetensors", "pseudo/images", "pseudo/depths", "pseudo/transforms.json",
        "student/student.safetensors", "export/onnx/model.onnx",
    )  # fmt: skip
    return {name: sha256(run / name) for name in names}


def leftovers(run: Path) -> list[str]:
    return [str(path) for path in run.rglob(".*") if ".partial" in path.name or ".old-" in path.name]
