"""The vectors as files, as every language reads them."""

import base64
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "vectors"


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def manifest_bytes(case: dict[str, Any]) -> bytes:
    """manifest.json of a bundle case."""
    if "base64" in case:
        return base64.b64decode(case["base64"])
    text = case.get("text")
    if text is None:
        text = (FOLDER / "manifests" / f"{case['manifest']}.json").read_text(encoding="utf-8")
        for old, new in case.get("replace", []):
            assert old in text, f"{case['name']}: {old}"
            text = text.replace(old, new, 1)
    return text[: case.get("keep")].encode().ljust(case.get("pad", 0))


def write_bundle(case: dict[str, Any], files: dict[str, str], folder: Path) -> Path:
    """The bundle of a case, in `folder`."""
    content: dict[str, bytes | None] = {name: text.encode() for name, text in files.items()}
    content["manifest.json"] = manifest_bytes(case)
    content |= {name: None if text is None else text.encode() for name, text in case.get("files", {}).items()}
    for name, value in content.items():
        if value is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(value)
    return folder
