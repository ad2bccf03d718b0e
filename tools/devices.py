"""Measures bundles in a phone's browser, and adds a row for each to the table in docs/devices.md.

python -m tools.devices BUNDLE... [options of nelf bench, such as --browser chromium]
python -m tools.devices FILE.json        (of an earlier `nelf bench --device browser --json FILE`)
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from nelf.benchmark.report import DeviceBenchmark, name_of_device
from nelf.bundle.fields import first_line

PAGE = Path(__file__).resolve().parents[1] / "docs" / "devices.md"
ROWS = re.compile(r"(?<=<!-- rows: python -m tools\.devices -->\n)(\|.*\n\|.*\n)((?:\|.*\n)*)(?=<!-- end -->)")
BROWSERS = re.compile(r"\b(Firefox|FxiOS|EdgA?|OPR|SamsungBrowser|CriOS|HeadlessChrome|Chrome|Version)/(\d+)")
NAMES = {"FxiOS": "Firefox", "Edg": "Edge", "EdgA": "Edge", "OPR": "Opera", "SamsungBrowser": "Samsung",
         "CriOS": "Chrome", "HeadlessChrome": "Chromium, headless", "Version": "Safari"}  # fmt: skip
KEY_CELLS = 4  # device, browser, bundle and image


def browser_of(user_agent: str) -> str:
    """Name and version; Chromium's relatives say that they are Chrome too, last."""
    found = BROWSERS.findall(user_agent)
    order = list(dict.fromkeys([*NAMES, "Firefox", "Chrome"]))
    known = sorted(found, key=lambda one: (one[0] in ("Chrome", "Version"), order.index(one[0])))
    return f"{NAMES.get(known[0][0], known[0][0])} {known[0][1]}" if known else "?"


def rows_of(found: DeviceBenchmark) -> Iterator[list[str]]:
    """Cells of each result."""
    device = found.device
    if device.type == "browser":
        about, opened_by = f"{name_of_device(device)}, {device.cores} cores", browser_of(device.user_agent)
    else:
        about, opened_by = name_of_device(device), f"our app {device.app}"
    cut = " (cut short)" if found.ended else ""
    for one in found.results:
        psnr = "-" if one.golden_psnr is None else f"{one.golden_psnr:.1f}"
        yield [
            about,
            opened_by,
            f"{one.student}, {one.target}, {one.precision}",
            f"{one.width} x {one.height}",
            one.backend + cut,
            str(one.threads),
            f"{one.latency.median:.1f}",
            f"{one.latency.p95:.1f}",
            f"{one.first_frame_milliseconds:.0f}",
            psnr,
        ]


def added(page: str, found: DeviceBenchmark) -> str:
    """The page with the rows of `found`, in order; those that they replace are gone."""
    match = ROWS.search(page)
    assert match, f"{PAGE} has no table of devices"
    lines = {tuple(line.split(" | ")[:KEY_CELLS]): line for line in match[2].splitlines()}
    for cells in rows_of(found):
        line = f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
        lines[tuple(line.split(" | ")[:KEY_CELLS])] = line
    table = match[1] + "".join(f"{lines[key]}\n" for key in sorted(lines))
    return page[: match.start()] + table + page[match.end() :]


def main() -> int:
    arguments = sys.argv[1:]
    if not arguments:
        print("usage: python -m tools.devices BUNDLE... or FILE.json", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        file, code = Path(arguments[0]), 0
        if file.suffix != ".json":
            file = Path(folder) / "device.json"
            device = [] if "--browser" in arguments else ["--device", "browser"]
            command = [sys.executable, "-m", "nelf", "bench", *arguments, *device, "--json", str(file)]
            code = subprocess.run(command).returncode
            if not file.exists():  # it said why
                return code
        try:
            PAGE.write_text(added(PAGE.read_text(), DeviceBenchmark.model_validate_json(file.read_bytes())))
        except OSError as error:
            print(f"{file} cannot be read: {error.strerror}", file=sys.stderr)
            return 2
        except ValidationError as error:
            print(f"{file} is not what nelf bench --device browser --json writes: {first_line(error)}", file=sys.stderr)
            return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
