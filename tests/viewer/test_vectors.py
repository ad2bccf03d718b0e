"""The shared vectors: current, and passed by Python. Swift, Kotlin and TypeScript read the same files."""

import json
from pathlib import Path
from typing import Any

import pytest

from nelf.benchmark.report import parse_report
from nelf.bundle.contents import check_files
from nelf.bundle.manifest import read_manifest
from nelf.core.errors import BundleError, BundleErrorCode
from nelf.export.apps import APPS
from tests.vectors.make import contents
from tests.vectors.reference_camera import OrbitCamera
from tests.viewer.vectors import FOLDER, read, write_bundle

POSES = read("poses.json")
BUNDLES = read("bundles.json")


def cases(items: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in items]


def test_the_files_are_current() -> None:
    """What `python -m tests.vectors.make` would write; the last decimals depend on the machine's sine."""

    def near(a: Any, b: Any) -> bool:
        if isinstance(a, dict):
            return isinstance(b, dict) and a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
        if isinstance(a, list):
            return isinstance(b, list) and len(a) == len(b) and all(map(near, a, b))
        return a == pytest.approx(b, abs=1e-8) if isinstance(a, float) else a == b

    made = contents()
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")} == set(made)
    assert [name for name, content in made.items() if not near(json.loads(json.dumps(content)), read(name))] == []


def test_there_are_enough() -> None:
    assert sum(len(case["steps"]) for case in POSES["cases"]) >= 200
    assert len(BUNDLES["bad"]) >= 30
    codes = {case["code"] for case in BUNDLES["bad"]}
    codes |= {code for case in BUNDLES["viewers"] for code in case["codes"].values()}
    assert codes == set(map(str, BundleErrorCode))
    names = [case["name"] for case in BUNDLES["bad"] + BUNDLES["good"] + BUNDLES["viewers"] + POSES["cases"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", cases(POSES["cases"]))
def test_poses(case: dict[str, Any]) -> None:
    camera = OrbitCamera(read(f"manifests/{case['manifest']}.json"))
    assert camera.c2w == pytest.approx(case["start"], abs=POSES["tolerance"])
    for step in case["steps"]:
        method, *arguments = step["call"]
        getattr(camera, method)(*map(float, arguments))
        assert camera.c2w == pytest.approx(step["c2w"], abs=POSES["tolerance"])
        assert camera.moving == step["moving"]


@pytest.mark.parametrize("case", cases(BUNDLES["good"]))
def test_good_bundles(case: dict[str, Any], tmp_path: Path) -> None:
    folder = write_bundle(case, BUNDLES["files"], tmp_path)
    check_files(folder, read_manifest(folder))


@pytest.mark.parametrize("case", cases(BUNDLES["bad"]))
def test_bad_bundles(case: dict[str, Any], tmp_path: Path) -> None:
    folder = write_bundle(case, BUNDLES["files"], tmp_path)
    with pytest.raises(BundleError) as error:
        check_files(folder, read_manifest(folder))
    assert error.value.code == case["code"]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", cases(BUNDLES["viewers"]))
def test_what_each_app_shows(case: dict[str, Any], tmp_path: Path) -> None:
    manifest = read_manifest(write_bundle(case, BUNDLES["files"], tmp_path))
    for name, app in APPS.items():
        assert app.shows(manifest) == (name.removesuffix("_app") not in case["codes"])


@pytest.mark.parametrize("case", cases(read("benchmark.json")["cases"]))
def test_reports_of_benchmarks(case: dict[str, Any]) -> None:
    """The page and the apps make them; here they are read."""
    report = parse_report(json.dumps(case["report"]).encode(), "app", "")
    assert report.model_dump(mode="json") == case["report"]
    for one in report.results:
        assert sum(window.frames for window in one.sustained) <= len(case["frames"])
        assert one.latency.median <= one.latency.p90 <= one.latency.p95
