"""When the check of the web viewer may be skipped: only where a registry does not answer, and never on CI."""

import subprocess
import sys

import pytest

from tools import setting_up
from tools.setting_up import SetupError, fetch
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


def test_an_old_node_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    old = subprocess.CompletedProcess(["node"], 0, "v18.1.0\n", "")
    monkeypatch.setattr(web, "is_done", lambda *_: False)
    monkeypatch.setattr(web.shutil, "which", lambda name: name)
    monkeypatch.setattr(web.subprocess, "run", lambda *_, **__: old)
    with pytest.raises(SetupError, match=r"v18\.1\.0 is too old") as error:
        web.install()
    assert web_check(error.value, "", monkeypatch) == 1


def web_check(error: SetupError, ci: str, monkeypatch: pytest.MonkeyPatch) -> int:
    def fails() -> None:
        raise error

    monkeypatch.setitem(web.STEPS, "check", fails)
    monkeypatch.setattr(sys, "argv", ["tools.web", "check"])
    monkeypatch.setenv("CI", ci)
    return web.main()
