"""Build the web viewer and check it in a real browser; each step is skipped while its inputs are unchanged.

python -m tools.web build      npm packages, then nelf/viewer/assets
python -m tools.web check      lint, types, vectors, and Chromium (by apt-get if missing)
python -m tools.web speed      pictures per second and the time to the first, on an idle machine
python -m tools.web screenshots    the page at four widths, light and dark: runs/web/screenshots and docs/images

Node.js is this machine's, or a Python wheel's if it has none (tools/node.py). Exit code 1 if something is wrong. If a
registry cannot be reached, the check is skipped with a message; that is an error too if the variable CI is true.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tools.node import Node, find_node, of_the_wheel
from tools.setting_up import ROOT, SetupError, fetch

APP = ROOT / "web_app"
ASSETS = ROOT / "nelf" / "viewer" / "assets"
ARTEFACTS = ROOT / "runs" / "web"
STAMPS = APP / "node_modules" / ".nelf"  # gone when the packages are

PACKAGES = ("web_app/package-lock.json", "web_app/.npmrc")
PAGE = (*PACKAGES, "web_app/src", "web_app/public", "web_app/*.ts", "web_app/*.html", "web_app/*.json",
        "nelf/bundle/manifest.schema.json")  # fmt: skip
EXPORTED = ("nelf/bundle", "nelf/export", "nelf/student", "tests/web", "tests/export/networks.py")
CHECKED = (
    *PAGE,
    *EXPORTED,
    "web_app/tests",
    "web_app/browser",
    "nelf/viewer",
    "nelf/cli/main.py",
    "nelf/cli/bundles.py",
    "tests/vectors",
    "tools/node.py",
    "tools/web",
)


def digest(patterns: Iterable[str]) -> str:
    """Digest of names and contents of files and folders, without the built viewer."""
    paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    files = {file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()}
    found = hashlib.sha256()
    for file in sorted(files):
        if "__pycache__" not in file.parts and ASSETS not in file.parents:
            found.update(f"{file.relative_to(ROOT)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def is_done(step: str, state: str) -> bool:
    stamp = STAMPS / step
    return stamp.is_file() and stamp.read_text() == state


def done(step: str, state: str) -> None:
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / step).write_text(state)


def call(*command: str, environment: dict[str, str]) -> None:
    print("web:", *(Path(word).name for word in command), flush=True)
    subprocess.run(command, cwd=APP, check=True, env={**os.environ, **environment})


def npm_run(*script: str, node: Node | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a script of package.json."""
    node = node or find_node()
    call(*node.npm, "run", "--silent", *script, environment={"PATH": node.path, **(environment or {})})


def install() -> None:
    """Install npm's packages from the lock file."""
    state = digest(PACKAGES)
    if is_done("packages", state):
        return
    node = find_node()
    options = ("--no-audit", "--no-fund", "--ignore-scripts")
    fetch(*node.npm, "ci", *options, cwd=APP, environment=node.environment())
    done("packages", state)


def build() -> None:
    install()
    state = digest(PAGE)
    if is_done("build", state) and (ASSETS / "index.html").is_file():
        print("web: the viewer is up to date in nelf/viewer/assets", flush=True)
        return
    npm_run("build")
    done("build", state)


def chromium() -> str:
    """A Chromium to drive: this machine's, or Debian's."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupError("there is no Chromium, and installing one takes apt-get and root")
    fetch("apt-get", "update", "-qq")
    fetch("apt-get", "install", "-y", "-qq", "chromium")
    path = shutil.which("chromium")
    assert path, "Debian's package has this program"
    return path


def bundles() -> Path:
    """The bundles that the browser opens; made again when their sources change."""
    folder = ARTEFACTS / "bundles"
    state = digest((*PAGE, *EXPORTED))
    if not (is_done("bundles", state) and folder.is_dir()):
        call(sys.executable, "-m", "tests.web.bundles", str(folder), environment={"PYTHONPATH": str(ROOT)})
        done("bundles", state)
    return folder


def environment() -> dict[str, str]:
    return {
        "NELF_CHROMIUM": chromium(),
        "NELF_BUNDLES": str(bundles()),
        "NELF_ARTEFACTS": str(ARTEFACTS),
        "NELF_PYTHON": sys.executable,
    }


def check() -> None:
    build()
    state = digest(CHECKED)
    if is_done("check", state):
        print("web: unchanged since all checks passed", flush=True)
        return
    build_by_the_wheel()
    npm_run("lint")
    npm_run("unit")
    npm_run("browser", environment=environment())
    done("check", state)


def build_by_the_wheel() -> None:
    """The wheel's Node.js, for machines without one, builds the same files."""
    with tempfile.TemporaryDirectory() as folder:
        npm_run("build", "--", "--outDir", folder, "--emptyOutDir", "--logLevel", "error", node=of_the_wheel())
        made, built = (sorted(str(p.relative_to(top)) for p in top.rglob("*")) for top in (Path(folder), ASSETS))
    if made != built:
        raise SetupError(f"the wheel's Node.js builds other files: {', '.join(sorted({*made} ^ {*built}))}")


def speed() -> None:
    build()
    npm_run("speed", environment=environment())


def screenshots() -> None:
    build()
    npm_run("screenshots", environment={**environment(), "NELF_SHEETS": str(ROOT / "docs" / "images")})


STEPS = {"build": build, "check": check, "speed": speed, "screenshots": screenshots}


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in STEPS:
        print(f"usage: python -m tools.web {'|'.join(STEPS)}", file=sys.stderr)
        return 2
    try:
        STEPS[sys.argv[1]]()
    except SetupError as error:
        needed = sys.argv[1] != "check" or not error.unreachable or os.environ.get("CI") == "true"
        print(f"*** web: {'FAILED' if needed else 'NOT CHECKED'}: {error} ***", file=sys.stderr, flush=True)
        return int(needed)
    except subprocess.CalledProcessError as error:
        print(f"*** web: FAILED: {' '.join(map(str, error.cmd))} ***", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
