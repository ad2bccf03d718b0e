"""Common parts of the viewers' tool set-ups: where tools are kept, and the message if one is unavailable."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]

NETWORK = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|Could not resolve|Could not connect"
    r"|Temporary failure|Connection (?:refused|timed out|failed)|NewConnectionError|Network is unreachable"
    r"|Failed to establish|Max retries"
)
"""What npm, apt-get and pip say when a registry does not answer."""


class SetupError(Exception):
    """A tool is unavailable; the message is one line. `unreachable`: because a registry does not answer."""

    def __init__(self, message: str, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def fetch(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a command that gets tools. Raises SetupError with the line that says why."""
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    if result.returncode:
        said = (result.stderr + result.stdout).strip()
        line = next((line for line in said.splitlines() if re.match(r"(?i)(npm )?(e:|err|error)", line)), said[-200:])
        name = " ".join([Path(word).name for word in words if word != "-m"][:2])
        raise SetupError(f"{name} failed: {line.strip()}", unreachable=bool(NETWORK.search(said)))


def tools_folder(name: str) -> Path:
    """Folder for the tools of one viewer: below NELF_TOOLS, or .tools in the repository (ignored by git)."""
    return Path(os.environ.get("NELF_TOOLS") or ROOT / ".tools").resolve() / name


def lock(name: str) -> FileLock:
    """Held by one process at a time. Tests run side by side, and share the tools of that name."""
    folder = tools_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_suffix(".lock"))


def install(name: str, version: str, build: Callable[[Path], None]) -> Path:
    """Folder of the tools of that name. `build` fills it, unless this version of them is there."""
    folder = tools_folder(name)
    mark, wanted = folder / "complete.json", {"made by": version}
    with lock(name):
        if not mark.is_file() or json.loads(mark.read_text()) != wanted:
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{name}-") as temporary:
                new = Path(temporary) / name
                new.mkdir()
                build(new)
                (new / mark.name).write_text(json.dumps(wanted) + "\n")
                shutil.rmtree(folder, ignore_errors=True)
                new.rename(folder)
    return folder
