"""Writes the JSON Schema of a manifest, and the table in docs/export.md, from the classes in nelf/bundle/manifest.py.

python -m tools.schema
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from nelf.bundle import manifest
from nelf.bundle.fields import Part

PATH = Path(manifest.__file__).with_name("manifest.schema.json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "export.md"
TABLE = re.compile(r"(?<=<!-- made by: make schema -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def schema() -> dict[str, Any]:
    """What the classes say, without the titles that pydantic makes of their names."""
    content: dict[str, Any] = _without_titles(manifest.Manifest.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"nelf-bundle-{manifest.MAJOR}.schema.json",
        "title": f"manifest.json of a nelf bundle, format version {manifest.MAJOR}.x",
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


def page() -> str:
    """docs/export.md with today's table."""
    return TABLE.sub(lambda _: table(), PAGE.read_text())


if __name__ == "__main__":
    PATH.write_text(text())
    PAGE.write_text(page())
