"""Make an APK of compiled classes: resources linked, dexed, packed, aligned, signed with a temporary key, verified."""

import re
import shutil
import struct
import zipfile
from pathlib import Path

from tools.android.project import MIN_SDK, TARGET_SDK, CheckError, Project, run

PACKAGE = "org.nelf.viewer"
WANTED = (
    *("org/nelf/viewer/ViewerActivity", "org/nelf/core/OrbitCamera"),
    *("kotlin/Unit", "com/fasterxml/jackson/core/JsonFactory"),
)
UNWANTED = ("com/google/ai/edge/litert", "android/")
"""Stubs of our own, which must not get into an APK."""


def link_resources(project: Project) -> None:
    """resources.apk, and R.java below gen."""
    tools, main = project.tools, project.app / "app/src/main"
    manifest = project.out("AndroidManifest.xml")
    text = (main / "AndroidManifest.xml").read_text()
    manifest.write_text(text.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1))  # as Gradle does
    run(tools.aapt2, "compile", "--dir", main / "res", "-o", project.out("resources.zip"))
    gen = project.out("gen")
    shutil.rmtree(gen, ignore_errors=True)
    run(
        *(tools.aapt2, "link", "-I", tools.framework, "--manifest", manifest, "--java", gen),
        *("--min-sdk-version", str(MIN_SDK), "--target-sdk-version", str(TARGET_SDK)),
        *("--version-code", "1", "--version-name", "0.1.0"),
        *("-o", project.out("resources.apk"), project.out("resources.zip")),
    )


def build_apk(project: Project) -> Path:
    """The signed APK of app.jar and core.jar. Without LiteRT: neither its classes nor its native code."""
    tools = project.tools
    dex = project.out("dex")
    shutil.rmtree(dex, ignore_errors=True)
    dex.mkdir()
    stubs = [project.out("stubs.jar"), project.out("litert-stubs.jar")]
    run(
        *("java", "-cp", tools.bundletool, "com.android.tools.r8.D8", "--min-api", str(MIN_SDK), "--output", dex),
        *("--lib", tools.android_jar, *(word for stub in stubs for word in ("--classpath", stub))),
        *(project.out("app.jar"), project.out("core.jar")),
        *(tools.kotlin / "lib/kotlin-stdlib.jar", tools.jar("jackson-core")),
    )
    plain, aligned, signed = (project.out(f"{name}.apk") for name in ("plain", "aligned", "viewer-without-litert"))
    shutil.copyfile(project.out("resources.apk"), plain)
    with zipfile.ZipFile(plain, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(dex.glob("*.dex")):
            archive.write(path, path.name)
    _align(project, plain, aligned)
    _sign(project, aligned, signed)
    _look_inside(project, signed)
    return signed


def _align(project: Project, apk: Path, aligned: Path) -> None:
    zipalign = project.tools.debian / "usr/bin/zipalign"
    lib = project.tools.debian / "usr/lib"
    libraries = [lib, lib / "p7zip", *lib.glob("*/android")]  # zipalign is linked to all of these
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    run(zipalign, "-f", "4", apk, aligned, environment=environment)
    run(zipalign, "-c", "4", aligned, environment=environment)


def _sign(project: Project, apk: Path, signed: Path) -> None:
    """Sign with a temporary key."""
    key = project.out("throw-away.keystore")
    key.unlink(missing_ok=True)
    name = "CN=nelf check, OU=throw-away"
    words = ("-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-validity", "1", "-alias", "key", "-dname", name)
    run("keytool", *words, "-keystore", key, "-storepass", "throw-away", "-keypass", "throw-away")
    signer = ("java", "-cp", project.jars("apksigner", "apksig"), "com.android.apksigner.ApkSignerTool")
    run(*signer, "sign", "--ks", key, "--ks-pass", "pass:throw-away", "--out", signed, apk)
    key.unlink()
    said = run(*signer, "verify", "--verbose", "--min-sdk-version", str(MIN_SDK), signed)
    if not re.search(r"Verified using v2 scheme.*: true", said):
        raise CheckError(f"apksigner: {said}")


def _look_inside(project: Project, apk: Path) -> None:
    said = run(project.tools.aapt2, "dump", "badging", apk)
    for part in (f"package: name='{PACKAGE}'", f"launchable-activity: name='{PACKAGE}.BundleListActivity'"):
        if part not in said:
            raise CheckError(f"the APK has no {part}:\n{said}")
    with zipfile.ZipFile(apk) as archive:
        names = archive.namelist()
        classes = {name for dex in names if dex.endswith(".dex") for name in dex_classes(archive.read(dex))}
    missing = [name for name in WANTED if name not in classes]
    stubs = [name for name in classes if name.startswith(UNWANTED)]
    if missing or stubs:
        raise CheckError(f"the APK lacks {missing}, and has the stubs {stubs}")


def dex_classes(dex: bytes) -> list[str]:
    """Names of the classes defined in a .dex file (Dalvik executable format: header, string, type and class ids)."""
    strings, types, (count, classes) = _ids(dex, 0x38), _ids(dex, 0x40), _ids(dex, 0x60)

    def name(index: int) -> str:
        (text_id,) = struct.unpack_from("<I", dex, types[1] + 4 * index)
        (start,) = struct.unpack_from("<I", dex, strings[1] + 4 * text_id)
        while dex[start] & 0x80:  # the length before the text: a number of seven bits a byte
            start += 1
        return dex[start + 1 : dex.index(0, start + 1)].decode("utf-8", "replace")[1:-1]

    return [name(struct.unpack_from("<I", dex, classes + 32 * i)[0]) for i in range(count)]


def _ids(dex: bytes, at: int) -> tuple[int, int]:
    """Size and offset of a table, from the header."""
    count, place = struct.unpack_from("<II", dex, at)
    return count, place
