"""The manifest's classes: what they refuse is in tests/vectors; here is what no vector can hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nelf.bundle import Manifest, read_manifest
from nelf.bundle.manifest import write_manifest
from tests.vectors.manifests import MANIFESTS
from tools import schema


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate_json(json.dumps(MANIFESTS["around"] | changes))


def test_the_schema_is_current() -> None:
    assert schema.PATH.read_text() == schema.text(), "make schema"
    for path, content in schema.pages().items():
        assert "<!-- made by: make schema -->\n| " in content
        assert path.read_text() == content, "make schema"


@pytest.mark.parametrize("name", MANIFESTS)
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    whole = Manifest.model_validate_json(json.dumps(MANIFESTS[name]))
    write_manifest(tmp_path, whole)
    assert read_manifest(tmp_path) == whole
    assert json.loads((tmp_path / "manifest.json").read_text()) == MANIFESTS[name], "nothing is added, nothing is lost"


def test_it_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        manifest().name = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parity": {"status": "passed", "reason": "x"}}, r"parity\.passed\.compared_with\n +Field required"),
        ({"latency": {"status": "passed"}}, "'measured', 'not_run'"),
        ({"quality": {"status": "measured", "views": 1}}, r"quality\.measured\.psnr\n +Field required"),
        ({"provenance": {}}, r"provenance\.versions\n +Field required"),
    ],
)
def test_unions_go_by_their_status(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        manifest(**changes)


def test_provenance_keeps_what_it_does_not_know() -> None:
    given = {"versions": {"torch": "2.14"}, "config": {"seed": 3}, "more": [1]}
    assert manifest(provenance=given).provenance.model_dump(exclude_none=True) == given
