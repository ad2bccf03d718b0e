"""Checks android_app/ without Android Studio, Gradle or a phone.

    python -m tools.android.check            # make android

Style, the core's tests, every source compiled, each use of Android's API looked up, the shaders, and an APK that is packed,
aligned, signed and verified: without LiteRT's native code, which is not to be had here, so it shows its screens and renders nothing.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.android.api import faults, read_api
from tools.android.classfile import read_jar
from tools.android.setup import ROOT, SetupError, Tools, set_up

APP = ROOT / "android_app"
BUILD = APP / "build" / "check"
JAVA_VERSION = "17"
MIN_SDK, TARGET_SDK = 26, 36


class CheckError(Exception):
    """A check found something; the message is what its tool said."""


@dataclass(frozen=True)
class Project:
    """The sources of an app like android_app, the tools, and a folder for what is built of it."""

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


def style(project: Project) -> str:
    """ktlint on every Kotlin file, build scripts included."""
    files = project.sources(".", suffix=".kt") + project.sources(".", suffix=".kts")
    run(project.tools.ktlint, "--relative", *files, cwd=project.app)
    return f"{len(files)} files"


def core(project: Project) -> str:
    """The core against Android's own java.*, so that it uses nothing that a phone lacks."""
    kotlinc(project, "core.jar", project.sources("core/src/main/kotlin"), [project.tools.android_jar], android=True)
    return "core.jar"


def core_tests(project: Project) -> str:
    """JUnit on the core: the vectors, buffers, bundles, accelerators."""
    tools = project.tools
    lib = tools.kotlin / "lib"
    libraries = [project.out("core.jar"), tools.jar("junit4"), tools.jar("hamcrest-all")]
    libraries += [lib / f"{name}.jar" for name in ("kotlin-stdlib", "kotlin-test", "kotlin-test-junit")]
    sources = project.sources("core/src/test/kotlin")
    kotlinc(project, "core-tests.jar", sources, libraries, "-Xfriend-paths=" + str(project.out("core.jar")))
    names = [f"org.nelf.core.{path.stem}" for path in sources if path.stem.endswith("Test")]
    said = run(
        *("java", "-cp", join(*libraries, project.out("core-tests.jar"))),
        *(f"-Dnelf.vectors={vectors()}", "org.junit.runner.JUnitCore", *names),
    )
    return said.strip().splitlines()[-1]


def app(project: Project) -> str:
    """The app against an old android.jar and stubs of our own: newer framework classes, LiteRT, resource numbers."""
    tools = project.tools
    stubs = project.sources("stubs/framework", suffix=".java")
    resources(project)
    java = [*stubs, *sorted(project.out("gen").rglob("R.java"))]
    javac(project, "stubs.jar", java, tools.android_jar)
    boot = [project.out("stubs.jar"), tools.android_jar]
    kotlinc(project, "litert-stubs.jar", project.sources("stubs/litert"), boot, android=True)
    libraries = [*boot, project.out("litert-stubs.jar"), project.out("core.jar")]
    kotlinc(project, "app.jar", project.sources("app/src/main/kotlin"), libraries, android=True)
    return "app.jar"


def api(project: Project) -> str:
    """Everything that the app uses of Android exists in a recent one, is not deprecated, and is there on the oldest."""
    classes = read_jar(project.out("app.jar")) + read_jar(project.out("core.jar"))
    found = faults(classes, read_api(project.tools.android_api), MIN_SDK, TARGET_SDK, GUARDED)
    if found:
        raise CheckError("\n".join(found))
    return f"{len(classes)} classes"


GUARDED = {
    "android.os.PowerManager.getCurrentThermalStatus",
    "android.os.PowerManager.getThermalHeadroom",
    "android.os.Build.SOC_MANUFACTURER",
    "android.os.Build.SOC_MODEL",
    "android.view.WindowInsets.getInsets",
    "android.view.WindowInsets.Type.systemBars",
    "android.view.WindowInsets.Type.displayCutout",
    "android.graphics.Insets.left",
    "android.graphics.Insets.top",
    "android.graphics.Insets.right",
    "android.graphics.Insets.bottom",
}
"""Newer than the oldest Android; the code asks SDK_INT first."""


def shaders(project: Project) -> str:
    """glslang compiles every shader; tests/viewers runs them on the CPU."""
    files = project.sources("app/src/main/res/raw", suffix=".glsl")
    for path in files:
        stage = "vert" if "vertex" in path.name else "frag"
        run(project.tools.debian / "usr/bin/glslangValidator", "-S", stage, path)
    return f"{len(files)} shaders"


def kotlinc(
    project: Project, name: str, sources: list[Path], libraries: list[Path], *options: str, android: bool = False
) -> None:
    """Compile Kotlin into the jar `name`; a warning is an error. android: without the JDK's own classes."""
    words: list[str | Path] = [*("-jvm-target", JAVA_VERSION, "-Werror", "-Wextra"), "-cp", join(*libraries), *options]
    words += ["-no-jdk"] if android else ["-no-stdlib"]
    run(project.tools.kotlin / "bin/kotlinc", *words, "-d", project.out(name), *sources)


def javac(project: Project, name: str, sources: list[Path], android_jar: Path) -> None:
    """Compile Java into the jar `name`, as part of the platform."""
    classes = project.out(name.removesuffix(".jar"))
    run("javac", "--release", "8", "-Xlint:-options", "-cp", android_jar, "-d", classes, *sources)
    run("jar", "--create", "--file", project.out(name), "-C", classes, ".")


def join(*paths: Path) -> str:
    return os.pathsep.join(map(str, paths))


def vectors() -> Path:
    return Path(os.environ.get("NELF_VECTORS", ROOT / "tests/vectors"))


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What the command says. Raises CheckError with it when the command fails."""
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise CheckError(f"{Path(words[0]).name}: {result.stdout}{result.stderr}".strip())
    return result.stdout
