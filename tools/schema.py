"""Writes what follows from pydantic classes: the JSON Schema of a manifest, and tables in docs/export.md (of
nelf/bundle/manifest.py) and docs/devices.md (of nelf/benchmark/report.py).

python -m tools.schema
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from nelf.benchmark import report
from nelf.bundle import manifest
from nelf.bundle.fields import Part

PATH = Path(manifest.__file__).with_name("manifest.schema.json")
DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLE = re.compile(r"(?<=<!-- made by: make schema -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def schema() -> dict[str, Any]:
    """What the classes say, without the titles that pydantic makes of their names."""
    content: dict[str, Any] = _without_titles(manifest.Manifest.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"nelf-bundle-{manifest.MAJORS[-1]}.schema.json",
        "title": f"manifest.json of a nelf bundle, format version {' or '.join(manifest.MAJORS)}",
        **content,
    }


def text() -> str:
    return json.dumps(schema(), indent=2) + "\n"


def _without_titles(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_titles(item) for key, item in value.items() if key != "title"}


def table() -> str:
    """A row for each key of a manifest. Where its value is an object: with the keys of that."""
    rows = ["| key | what it says | its keys |", "| --- | --- | --- |"]
    for name, field in manifest.Manifest.model_fields.items():
        parts = list(_parts_in(field.annotation))
        keys = dict.fromkeys(f"`{key}`" for part in parts for key in part.model_fields)
        says = field.description or parts[0].__doc__ or ""
        absent = "" if field.is_required() else " May be absent."
        rows.append(f"| `{name}` | {' '.join(says.split())}{absent} | {', '.join(keys)} |")
    return "\n".join(rows)


def _parts_in(annotation: Any) -> Iterator[type[Part]]:
    """The classes that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts_in(inner)


def device_table() -> str:
    """A row for each key of the benchmark file of a browser or an app, with the objects in it."""
    rows = ["| object | key | what it says |", "| --- | --- | --- |"]
    for part in (report.DeviceBenchmark, report.DeviceResult, report.Latency, report.Window, report.Condition,
                 report.PassedOver, report.Browser, report.App):  # fmt: skip
        for name, field in part.model_fields.items():
            inner = next(_parts_in(field.annotation), None)
            says = field.description or (inner.__doc__ if inner else "") or ""
            null = " May be null." if type(None) in get_args(field.annotation) else ""
            rows.append(f"| {part.__name__} | `{name}` | {' '.join(says.split())}{null} |")
    return "\n".join(rows)


def pages() -> dict[Path, str]:
    """The documents with today's tables."""
    tables = {DOCS / "export.md": table(), DOCS / "devices.md": device_table()}
    return {path: TABLE.sub(lambda _, made=made: made, path.read_text()) for path, made in tables.items()}


if __name__ == "__main__":
    PATH.write_text(text())
    for path, content in pages().items():
        path.write_text(content)
