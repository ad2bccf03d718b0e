"""The project to check: its folders, the tools, and how to run a tool."""

import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tools.android.setup import Tools
from tools.setting_up import ROOT

APP = ROOT / "android_app"
BUILD = APP / "build" / "check"
CATALOGUE = tomllib.loads((APP / "gradle/libs.versions.toml").read_text())["versions"]
MIN_SDK, TARGET_SDK = int(CATALOGUE["min-sdk"]), int(CATALOGUE["target-sdk"])
KOTLIN_VERSION = ".".join(CATALOGUE["kotlin"].split(".")[:2])


class CheckError(Exception):
    """A check failed; the message is the tool's output."""


@dataclass(frozen=True)
class Project:
    """The sources of an app like android_app, the tools, and a folder for build output."""

    app: Path
    tools: Tools
    build: Path

    def sources(self, *folders: str, suffix: str = ".kt") -> list[Path]:
        found = [path for folder in folders for path in sorted((self.app / folder).rglob(f"*{suffix}"))]
        if not found:
            raise CheckError(f"no {suffix} files in {', '.join(folders)}")
        return found

    def out(self, name: str) -> Path:
        self.build.mkdir(parents=True, exist_ok=True)
        return self.build / name

    def jars(self, *names: str) -> str:
        """A class path of jars from Debian packages."""
        return join(*map(self.tools.jar, names))


def join(*paths: Path) -> str:
    return os.pathsep.join(map(str, paths))


def run(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Output of a command. Raises CheckError with it if the command fails."""
    words = [str(word) for word in command]
    result = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode:
        raise CheckError(f"{Path(words[0]).name}: {result.stdout}{result.stderr}".strip())
    return result.stdout
