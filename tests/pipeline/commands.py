"""The command line, called in this process, and a finished run that tests may copy."""

import contextlib
import functools
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from nelf.cli.main import main
from tests.scenes import make_blender_scene


@dataclass(frozen=True)
class Outcome:
    """What a command printed."""

    code: int
    out: str
    err: str


def nelf(*arguments: str | Path) -> Outcome:
    """Run `nelf ARGUMENTS`. Raises anything but an orderly end."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.argv", ["nelf", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as left:
            code = left.code or 0
    assert isinstance(code, int), code
    return Outcome(code, out.getvalue(), err.getvalue())


def works(*arguments: str | Path) -> Outcome:
    """`nelf ARGUMENTS`, which must succeed."""
    outcome = nelf(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def refused(*arguments: str | Path, code: int = 2) -> str:
    """The error line of `nelf ARGUMENTS`, without "nelf: "."""
    outcome = nelf(*arguments)
    assert outcome.code == code, outcome
    lines = outcome.err.splitlines()
    assert [line for line in lines if line.startswith("nelf: ")] == lines[-1:], outcome.err
    assert "Traceback" not in outcome.err
    return lines[-1].removeprefix("nelf: ")


def refused_at_once(*arguments: str | Path) -> str:
    """The same, with nothing else on stderr."""
    line = refused(*arguments)
    assert nelf(*arguments).err == f"nelf: {line}\n"
    return line


@functools.cache
def finished_run() -> Path:
    """All stages on a tiny ball, with experiment=smoke. Made once per session; do not change it.

    With the smallest student: converting the default one takes most of a minute, and the tutorials' tests do that.
    """
    folder = Path(tempfile.mkdtemp(prefix="nelf-finished-"))
    make_blender_scene(folder / "ball", size=16)
    with contextlib.chdir(folder):
        works("run", "ball", "experiment=smoke", "student=constant")
    return folder / "runs" / "ball"


def copy_of_finished_run(folder: Path) -> Path:
    """`folder`/ball, to damage."""
    shutil.copytree(finished_run(), folder / "ball")
    return folder / "ball"


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def refused_scene(scene: Path, *overrides: str) -> str:
    """The line with which `nelf run` refuses a scene, before it writes anything."""
    line = refused_at_once("run", scene, "experiment=smoke", *overrides)
    assert list(Path.cwd().iterdir()) == []
    return line


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
