"""Check android_app/ without Android Studio, Gradle or a phone.

    python -m tools.android.check            # make android

Checks style, compiles every source, tests the core, looks up each use of Android's API, compiles the shaders, and makes
an APK that is packed, aligned, signed and verified. LiteRT's native code is not available here, so the APK would show
its screens and render nothing.
"""

import os
import sys
import time
from pathlib import Path

from tools.android.api import faults, read_api
from tools.android.apk import build_apk, link_resources
from tools.android.classfile import read_jar
from tools.android.project import APP, BUILD, KOTLIN_VERSION, MIN_SDK, TARGET_SDK, CheckError, Project, join, run
from tools.android.setup import set_up
from tools.setting_up import ROOT, SetupError

GUARDED = {
    "android.os.PowerManager.getCurrentThermalStatus",
    "android.os.PowerManager.getThermalHeadroom",
    "android.os.Build.SOC_MANUFACTURER",
    "android.os.Build.SOC_MODEL",
    "android.view.WindowInsets.getInsets",
    "android.view.WindowInsets.Type.systemBars",
    "android.view.WindowInsets.Type.displayCutout",
    *(f"android.graphics.Insets.{side}" for side in ("left", "top", "right", "bottom")),
}
"""Newer than the oldest Android that the app runs on; the code asks SDK_INT first."""

LANGUAGE = ("-language-version", KOTLIN_VERSION, "-api-version", KOTLIN_VERSION)
KOTLIN = ("-jvm-target", "11", *LANGUAGE, "-Werror", "-Wextra")
"""Java 11, where Gradle has 17: the D8 that is to be had here (3.3) reads no sealed classes."""
JAVA = "-Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # short runs: no time for the optimising compiler


def style(project: Project) -> str:
    """ktlint on every Kotlin file, build scripts included."""
    files = [*project.sources("core", "app", "stubs"), *project.sources(".", suffix=".gradle.kts")]
    run(project.tools.ktlint, "--relative", *files, cwd=project.app, environment={"JAVA_TOOL_OPTIONS": JAVA})
    return f"{len(files)} files"


def core(project: Project) -> str:
    """Compile the core against Android's own java.*, so that it uses nothing that a phone lacks."""
    sources = project.sources("core/src/main/kotlin")
    kotlinc(project, "core.jar", sources, [project.tools.android_jar, project.tools.jar("jackson-core")], "-no-jdk")
    return f"{len(sources)} files"


def core_tests(project: Project) -> str:
    """JUnit on the core, with the vectors."""
    lib = project.tools.kotlin / "lib"
    libraries = [project.out("core.jar"), *map(project.tools.jar, ("jackson-core", "junit4", "hamcrest-all"))]
    libraries += [lib / f"{name}.jar" for name in ("kotlin-stdlib", "kotlin-test", "kotlin-test-junit")]
    sources = project.sources("core/src/test/kotlin")
    friends = f"-Xfriend-paths={project.out('core.jar')}"  # tests see what is internal, as Gradle has it
    kotlinc(project, "core-tests.jar", sources, libraries, "-no-stdlib", friends)
    names = [f"org.nelf.core.{path.stem}" for path in sources if path.stem.endswith("Test")]
    path = join(*libraries, project.out("core-tests.jar"))
    vectors = os.environ.get("NELF_VECTORS", ROOT / "tests/vectors")
    said = run("java", "-cp", path, f"-Dnelf.vectors={vectors}", "org.junit.runner.JUnitCore", *names)
    return said.strip().splitlines()[-1]


def app(project: Project) -> str:
    """Compile the app against an old android.jar and our own stubs, for newer framework classes and LiteRT."""
    link_resources(project)
    java = [*project.sources("stubs/framework", suffix=".java"), *sorted(project.out("gen").rglob("R.java"))]
    classes, android_jar = project.out("stubs"), project.tools.android_jar
    run("javac", "--release", "8", "-Xlint:-options", "-cp", android_jar, "-d", classes, *java)
    run("jar", "--create", "--file", project.out("stubs.jar"), "-C", classes, ".")
    libraries = [project.out("stubs.jar"), android_jar]  # ours first, so that it goes before an older class
    kotlinc(project, "litert-stubs.jar", project.sources("stubs/litert"), libraries, "-no-jdk")
    sources = project.sources("app/src/main/kotlin")
    kotlinc(
        project, "app.jar", sources, [project.out("litert-stubs.jar"), project.out("core.jar"), *libraries], "-no-jdk"
    )
    return f"{len(sources)} files"


def api(project: Project) -> str:
    """Every Android API that the app uses exists in a recent and in the oldest version, and is not deprecated."""
    classes = read_jar(project.out("app.jar")) + read_jar(project.out("core.jar"))
    found = faults(classes, read_api(project.tools.android_api), MIN_SDK, TARGET_SDK, GUARDED)
    if found:
        raise CheckError("\n".join(found))
    return f"{len(classes)} classes"


def shaders(project: Project) -> str:
    """glslang compiles every shader; tests/viewers runs them on the CPU."""
    files = project.sources("app/src/main/res/raw", suffix=".glsl")
    for path in files:
        stage = "vert" if "vertex" in path.name else "frag"
        run(project.tools.debian / "usr/bin/glslangValidator", "-S", stage, path)
    return f"{len(files)} files"


def apk(project: Project) -> str:
    """An APK that installs, without LiteRT's native code."""
    built = build_apk(project)
    return f"{built.name}, {built.stat().st_size / 1e6:.2f} MB: signed, verified, WITHOUT LITERT'S NATIVE CODE"


def kotlinc(project: Project, name: str, sources: list[Path], libraries: list[Path], *options: str) -> None:
    """Compile Kotlin into the jar `name`; a warning is an error."""
    words: list[str | Path] = [*KOTLIN, *options, "-cp", join(*libraries), "-d", project.out(name), *sources]
    run(project.tools.kotlin / "bin/kotlinc", *words, environment={"JAVA_OPTS": JAVA})


CHECKS = (style, core, core_tests, app, api, shaders, apk)
"""In this order: later ones use what earlier ones built."""


def main(names: list[str]) -> int:
    """Run the named checks, or all. Returns the exit status."""
    try:
        project = Project(APP, set_up(), BUILD)
    except SetupError as error:
        required = os.environ.get("CI") == "true" or not error.unreachable
        print(f"{'FAILED' if required else '*** SKIPPED ***'}: Android check: {error}", file=sys.stderr)
        return 1 if required else 0
    for check in CHECKS:
        if names and check.__name__ not in names:
            continue
        start = time.monotonic()
        try:
            said = check(project)
        except CheckError as error:
            print(f"FAILED: Android check, {check.__name__}: {error}", file=sys.stderr)
            return 1
        print(f"android {check.__name__}: {said} ({time.monotonic() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
