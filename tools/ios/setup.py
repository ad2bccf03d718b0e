"""Tools that check ios_app/: a Debian with Swift in its own folder, made once.

    python -m tools.ios.setup          # into .tools/ios, or NELF_TOOLS/ios: 2.7 GB, about two minutes

Debian 13 (trixie) has Swift; this machine may have an older release, so commands run with that folder as their root.
Needs root, mmdebstrap (installed with apt-get if missing), chroot and unshare.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.setting_up import ROOT, SetupError, fetch, install, lock

SUITE = "trixie"
PACKAGES = ("swiftlang", "libc6-dev", "libstdc++-14-dev", "libglm-dev")
BASE = ("base-files", "coreutils", "dash", "diffutils", "findutils", "grep", "sed")
"""What the scripts of the check call. Packages are unpacked, not set up: their set-up scripts can fail."""

PROGRAMS = ("apt-get", "chroot", "unshare", "mount")
REPOSITORY = "/repository"
"""Where the chroot sees ROOT."""


@dataclass(frozen=True)
class Tools:
    """The root folder of a Debian with Swift."""

    root: Path

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script in it, one at a time. It sees this repository at REPOSITORY; its mounts end with it."""
        mounts = (
            f"mount -t proc proc {self.root}/proc && mount --rbind /dev {self.root}/dev && "
            f"mount --bind {ROOT} {self.root}{REPOSITORY} && "
            f'exec chroot {self.root} /usr/bin/env HOME=/tmp PATH=/usr/libexec/swift/bin:$PATH /bin/sh -ec "$0"'
        )
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", mounts, script]
        with lock("ios"):
            return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1200)


def set_up() -> Tools:
    """The tools, made unless they exist. Raises SetupError."""
    version = hashlib.sha256(f"{SUITE} {BASE} {PACKAGES}".encode()).hexdigest()
    return Tools(install("ios", version, _debian) / "root")


def _debian(folder: Path) -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        raise SetupError(
            f"the check wants Debian's apt-get, chroot and unshare, and root; missing: {missing or 'root'}"
        )
    if shutil.which("mmdebstrap") is None:
        fetch("apt-get", "update")
        fetch("apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap")
    options = ("--variant=extract", "--mode=root", f"--include={','.join(BASE + PACKAGES)}")
    fetch("mmdebstrap", *options, SUITE, str(folder / "root"), _mirror())
    (folder / "root" / REPOSITORY.lstrip("/")).mkdir()


def _mirror() -> str:
    """This machine's Debian mirror."""
    sources = [*Path("/etc/apt").rglob("*.sources"), *Path("/etc/apt").rglob("*.list")]
    for path in sorted(sources):
        if found := re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(\S+/debian)/?(?=\s|$)", path.read_text(), re.MULTILINE):
            return found[1]
    raise SetupError("no Debian mirror in /etc/apt; the check's packages come from Debian")


if __name__ == "__main__":
    try:
        print(f"tools for the iOS check: {set_up().root}")
    except SetupError as error:
        sys.exit(f"the tools for the iOS check cannot be set up: {error}")
