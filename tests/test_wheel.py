"""The wheel contains everything that nelf needs, and works in an empty environment, away from the checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from nelf import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 7_000_000
MOST_BYTES_WITH_VIEWER = 25_000_000  # three variants of the runtime, in gzip and in Brotli

COMPOSE_ALL = """
import sys
from pathlib import Path
import nelf
from nelf.pipeline import compose_config, config_folder, typed

environment = Path(sys.prefix)
assert environment in Path(nelf.__file__).parents, nelf.__file__
assert environment in config_folder().parents, config_folder()
experiments = sorted(config_folder().glob("experiment/**/*.yaml"))
for path in experiments:
    name = path.relative_to(config_folder() / "experiment").with_suffix("").as_posix()
    typed(compose_config(["scene.path=nowhere", f"experiment={name}"]))
    print(name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as pyproject.toml says, without isolation, so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel. A .pth file adds the dependencies of the tests: plain folders in such a file do
    not bring in the checkout's own editable install."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder)
    scheme = sysconfig.get_preferred_scheme("prefix")
    site = Path(sysconfig.get_path("purelib", scheme, {"base": str(folder), "platbase": str(folder)}))
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    run(*command, cwd=folder)
    ours = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in sorted(ours)))
    return folder


def run(*command: str, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{' '.join(command)}:\n{result.stdout}\n{result.stderr}"
    return result.stdout


def shipped(folder: str, inside: str = "nelf/") -> set[str]:
    """Files of the checkout as paths in the wheel; some folders lie inside the package."""
    return {f"{inside}{p.relative_to(ROOT).as_posix()}" for p in (ROOT / folder).rglob("*") if p.is_file()}


def test_the_wheel_holds_what_nelf_reads(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name == f"nelf-{__version__}-py3-none-any.whl"
    assert {"nelf/bundle/manifest.schema.json", "nelf/evaluate/report.html.j2", "nelf/cli/main.py"} <= held
    assert {name for name in shipped("configs") if name.endswith(".yaml")} <= held
    scene = {name for name in shipped("datasets/stilllife") if name.endswith((".png", ".json"))}
    assert len(scene) == 130 + 3
    assert scene <= held
    assert shipped("nelf/viewer/example", inside="") <= held
    assert f"nelf-{__version__}.dist-info/licenses/LICENSE" in held
    assert {name.split("/")[0] for name in held} == {"nelf", f"nelf-{__version__}.dist-info"}
    assert not [name for name in held if "__pycache__" in name]
    viewer = shipped("nelf/viewer/assets", inside="")
    assert viewer or os.environ.get("CI") != "true", "the web viewer comes with the wheel: make web"
    assert viewer <= held
    assert wheel.stat().st_size < (MOST_BYTES_WITH_VIEWER if viewer else MOST_BYTES)


def test_the_command_runs(environment: Path, tmp_path: Path) -> None:
    nelf = str(environment / "bin" / "nelf")
    text = run(nelf, "--help", cwd=tmp_path)
    assert "Example: nelf run" in text
    assert run(nelf, "--version", cwd=tmp_path).strip() == __version__


def test_it_composes_every_experiment_that_it_carries(environment: Path, tmp_path: Path) -> None:
    names = run(str(environment / "bin" / "python"), "-c", COMPOSE_ALL, cwd=tmp_path).split()
    folder = ROOT / "configs" / "experiment"
    assert names == sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml"))


def test_it_reads_the_scene_that_it_carries(environment: Path, tmp_path: Path) -> None:
    (scene,) = environment.glob("lib/*/site-packages/nelf/datasets/stilllife")
    text = run(str(environment / "bin" / "nelf"), "data", "check", str(scene), cwd=tmp_path)
    assert "128 x 128" in text
    assert "no problems" in text
