"""A second family of students goes the whole way, and nothing outside of nelf/student asks which family it has.

The family is `nelf.student.constant_color`, the example to copy. Its bundle in a browser: web_app/browser.
"""

import ast
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from nelf.bundle import open_bundle
from nelf.export import TARGETS
from nelf.export.graph import ExportGraph
from nelf.student import STUDENTS, Layout, StudentConfig, load_student
from nelf.viewer import site
from tests.export.networks import SIZE, ahead, around, student
from tests.pipeline.commands import works
from tests.scenes import make_blender_scene

ROOT = Path(__file__).resolve().parents[2]
FAMILY = "constant"
ABOUT_ONE_FAMILY = {"benchmarks/encoding.py"}
"""What measures a part that one family alone has."""


# The network


@pytest.mark.parametrize("mapping", ["linear", "disparity"])
@pytest.mark.parametrize("channels", [3, 4])
@torch.no_grad()
def test_deployed_it_is_the_same(mapping: str, channels: int) -> None:
    model = student(FAMILY, mapping, channels)
    for pose in (around if mapping == "linear" else ahead)(3, seed=2)[:, None]:
        expected = model(pose).permute(0, 2, 3, 1)
        assert expected.shape == (1, *SIZE, channels)
        for layout in Layout:
            torch.testing.assert_close(ExportGraph(model, layout)(pose), expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_cell_has_one_color_and_poses_differ() -> None:
    model = student(FAMILY, size=(16, 24), cell_size=4)
    first, second = model(around(2))
    cells = first.unflatten(1, (4, 4)).unflatten(3, (6, 4))
    assert (cells - cells[:, :, :1, :, :1]).abs().max() == 0
    assert (cells[:, :, 0, :, 0].std(dim=(1, 2)) > 0.01).all()
    assert (first - second).abs().max() > 0.01


# The whole way


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that `nelf run` trained, exported once and measured; others may export more."""
    folder = tmp_path_factory.mktemp("second")
    make_blender_scene(folder / "ball", size=18)  # no multiple of a cell
    with contextlib.chdir(folder):
        outcome = works("run", "ball", f"student={FAMILY}", "experiment=smoke", "export.targets=[onnx]")
    assert "onnx: PSNR" in outcome.err
    return folder / "runs" / "ball"


@pytest.fixture
def _built_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = tmp_path / "built"
    built.mkdir()
    (built / "index.html").write_text("the page")
    monkeypatch.setattr(site, "ASSETS", built)


@pytest.mark.slow
def test_it_trains(run: Path) -> None:
    model = load_student(run / "student" / "student.safetensors")
    assert model.config.family == FAMILY
    assert model.depth_pixels is None
    untrained = STUDENTS[FAMILY].make()(model.config, model.frame)
    assert all(parameter.abs().sum() > 0 for parameter in model.parameters())
    assert untrained.state_dict().keys() == model.state_dict().keys()
    assert (run / "eval" / "metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("_built_viewer")
@pytest.mark.parametrize(("target", "precision"), [(name, p) for name, t in TARGETS.items() for p in t.forms])
@torch.no_grad()
def test_it_exports_and_verifies(run: Path, tmp_path: Path, target: str, precision: str) -> None:
    works("export", run, "--target", target, "--precision", precision, "--out", tmp_path / "out")
    (manifest,) = (tmp_path / "out").glob("*/manifest.json")
    bundle = open_bundle(manifest.parent)
    assert (bundle.manifest.target, bundle.manifest.precision) == (target, precision)
    assert bundle.manifest.parity.status == "passed"
    assert bundle.manifest.student.name == FAMILY
    assert bundle.manifest.student.macs > 0
    told = works("verify", manifest.parent).out
    if target != "coreai" and (target, precision) != ("ios", "fp32"):  # no rules; not for the Neural Engine
        assert "no violations" in told
    first, second = (bundle.render(pose) for pose in around(2, seed=3))
    assert (first - second).abs().max() > 1e-3, "the file gives one image whatever the pose"


# Nobody asks


Sources = Mapping[str, str]


def not_shared() -> set[str]:
    """Settings of a student that only some families have."""
    found = {field.name for family in STUDENTS.values() for field in dataclasses.fields(family.config)}
    return found - {field.name for field in dataclasses.fields(StudentConfig)}


def branches(sources: Sources) -> Iterator[str]:
    """Where a module names a family's class or module, or reads what only some families have."""
    modules = {family.network.partition(":")[0] for family in STUDENTS.values()}
    modules |= {family.config.__module__ for family in STUDENTS.values()} - {StudentConfig.__module__}
    classes = {family.network.partition(":")[2] for family in STUDENTS.values()}
    classes |= {family.config.__name__ for family in STUDENTS.values()}
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom | ast.Import):
                base = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                named = [*base, *(".".join([*base, alias.name]) for alias in node.names)]
                if any(one == m or one.startswith(f"{m}.") for one in named for m in modules):
                    yield f"{name}:{node.lineno} imports a family"
                yield from (f"{name}:{node.lineno} imports {a.name}" for a in node.names if a.name in classes)
            elif isinstance(node, ast.Attribute):
                owner = node.value
                of = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
                if node.attr in classes or node.attr == "family":
                    yield f"{name}:{node.lineno} asks for {node.attr}"
                elif of == "student" and node.attr in not_shared():
                    yield f"{name}:{node.lineno} reads student.{node.attr}"


def outside() -> dict[str, str]:
    paths = [*(ROOT / "nelf").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    names = {path.relative_to(ROOT).as_posix(): path for path in sorted(paths)}
    kept = {name for name in names if not name.startswith("nelf/student/")} - ABOUT_ONE_FAMILY
    return {name: names[name].read_text() for name in sorted(kept)}


def test_nobody_outside_asks_which_family_it_is() -> None:
    assert not list(branches(outside()))


@pytest.mark.parametrize(
    "code",
    [
        "from nelf.student import HierarchicalConfig",
        "from nelf.student.mobiler2l import MobileR2L",
        "from nelf.student.hierarchical.feature_tables import READERS",
        "from nelf.student import hierarchical",
        "import nelf.student.constant_color.model",
        "isinstance(model, student.Hierarchical)",
        "if config.student.family == 'mobiler2l': pass",
        "size = run.config.student.points_per_ray",
    ],
)
def test_a_branch_is_found(code: str) -> None:
    assert list(branches({"made_up": code}))
    assert not list(branches({"made_up": "from nelf.student import Student, make_student\nname = config.student.name"}))
