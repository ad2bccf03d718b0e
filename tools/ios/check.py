"""Check ios_app/ without Xcode, a Mac or a phone.

    python -m tools.ios.check            # make ios

Checks style, builds and tests the core, and type-checks the app's sources against our own stubs of Apple's frameworks.
This finds our wrong names and types, but not a wrong idea of what Apple's frameworks do. See docs/verification.md.
"""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.ios.setup import REPOSITORY, Tools, set_up
from tools.setting_up import SetupError

APP = f"{REPOSITORY}/ios_app"
BUILD = "/var/nelf"
"""Kept between runs."""

STUBS = (
    *("Combine", "CoreGraphics", "simd", "Darwin", "Metal", "CoreVideo", "CoreML"),
    *("UniformTypeIdentifiers", "UIKit", "MetalKit", "ARKit", "SwiftUI"),
)
"""Modules of ios_app/Stubs, each after those that it imports."""


class CheckError(Exception):
    """A check failed; the message is the tool's output."""


def style(tools: Tools) -> str:
    """swift-format on every Swift file but the stubs, whose names are Apple's."""
    _run(tools, f"cd {APP} && swift-format lint --strict --configuration .swift-format -r NelfKit NelfViewer")
    return "swift-format is content"


def core(tools: Tools) -> str:
    """Build NelfKit as it is shipped, and run its tests: vectors, frames without allocation, golden views, AR, ..."""
    options = f"-c release -Xswiftc -enable-testing --scratch-path {BUILD}/kit"
    said = _run(
        tools,
        f"cd {APP}/NelfKit && swift build --build-tests {options} && "
        f"NELF_VECTORS={REPOSITORY}/tests/vectors swift-test --skip-build -c release --scratch-path {BUILD}/kit 2>&1",
    )
    counts = re.findall(r"Executed (\d+) tests?, with (?:(\d+) tests? skipped and )?0 failures", said)
    if not counts or int(counts[-1][0]) == 0 or counts[-1][1]:
        raise CheckError(f"not every test of NelfKit ran:\n{said[-2000:]}")
    return f"{counts[-1][0]} tests"


def shell(tools: Tools, viewer: str = f"{APP}/NelfViewer") -> str:
    """Type-check the app's sources against NelfKit and the stubs; a warning is an error."""
    stubs = f"{BUILD}/stubs"
    swift = f"swiftc -swift-version 5 -parse-as-library -I {stubs}"
    app = f"{APP}/Stubs/Linux.swift {viewer}/*.swift"
    emit = "\n".join(
        f"[ {stubs}/{name}.swiftmodule -nt {APP}/Stubs/{name}.swift ] || "
        f"{swift} -emit-module -module-name {name} -o {stubs}/{name}.swiftmodule {APP}/Stubs/{name}.swift"
        for name in STUBS
    )
    sources = f"{APP}/NelfKit/Sources/NelfKit/*.swift"
    kit = f"{swift} -emit-module -module-name NelfKit -o {stubs}/NelfKit.swiftmodule {sources}"
    check = f"{swift} -typecheck -wmo -warnings-as-errors -module-name NelfViewer {app}"
    _run(tools, f"mkdir -p {stubs}\n{emit}\n{kit}\n{check}")
    return f"{len(list((Path(__file__).parents[2] / 'ios_app/NelfViewer').glob('*.swift')))} files"


CHECKS: tuple[Callable[[Tools], str], ...] = (style, core, shell)


def _run(tools: Tools, script: str) -> str:
    result = tools.run(script)
    if result.returncode:
        raise CheckError((result.stdout + result.stderr).strip())
    return result.stdout


def main() -> int:
    try:
        tools = set_up()
        for check in CHECKS:
            start = time.monotonic()
            print(f"{check.__name__}: {check(tools)} ({time.monotonic() - start:.0f} s)", flush=True)
    except (CheckError, SetupError) as error:
        print(f"ios_app: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
