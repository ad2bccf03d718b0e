"""The table of devices in docs/devices.md, and the command that adds a row."""

import subprocess
import sys
from pathlib import Path

import pytest

from nelf.benchmark.report import DeviceBenchmark
from tests.benchmark.test_browser import DEVICE, LATENCY, measured
from tools import devices

IPHONE = ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
          "Version/18.0 Mobile/15E148 Safari/604.1")  # fmt: skip
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
)


def benchmark(user_agent: str = IPHONE, median: float = 8.0, ended: str | None = None) -> DeviceBenchmark:
    about = {"name": "web", "target": "web", "precision": "fp32", "student": "m", "width": 200, "height": 100,
             "bytes": 1, "macs": 1}  # fmt: skip
    result = measured("a", latency=LATENCY | {"median": median}) | about
    content = {"device": DEVICE | {"user_agent": user_agent}, "visible": True, "warm_up_seconds": 3.0, "seconds": 30.0,
               "minutes": None, "results": [result], "ended": ended}  # fmt: skip
    return DeviceBenchmark.model_validate(content)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (IPHONE, "Safari 18"),
        (ANDROID, "Chrome 142"),
        (f"{ANDROID} EdgA/142.0.0.0", "Edge 142"),
        (ANDROID.replace("Chrome/", "SamsungBrowser/28.0 Chrome/"), "Samsung 28"),
        (IPHONE.replace("Version/18.0", "CriOS/142.0.0.0"), "Chrome 142"),
        (ANDROID.replace("Chrome/", "HeadlessChrome/"), "Chromium, headless 142"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox 140"),
        ("curl", "?"),
    ],
)
def test_which_browser_it_was(user_agent: str, name: str) -> None:
    assert devices.browser_of(user_agent) == name


def test_a_row_is_added_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, files = tmp_path / "devices.md", [tmp_path / "1.json", tmp_path / "2.json", tmp_path / "3.json"]
    before = devices.PAGE.read_text()
    page.write_text(before)
    for file, one in zip(files, (benchmark(), benchmark(ANDROID), benchmark(median=7, ended="why")), strict=True):
        file.write_text(one.model_dump_json())
    monkeypatch.setattr(devices, "PAGE", page)
    for file in files:
        monkeypatch.setattr(sys, "argv", ["tools.devices", str(file)])
        assert devices.main() == 0
    new = sorted(set(page.read_text().splitlines()) - set(before.splitlines()))
    assert new == [
        "| iPhone, apple, 6 cores | Chrome 142 | m, web, fp32 | 200 x 100 | webgpu | 1 | 8.0 | 11.0 | 400 | 52.5 |",
        "| iPhone, apple, 6 cores | Safari 18 | m, web, fp32 | 200 x 100 | webgpu (cut short) | 1 | 7.0 | 11.0 | 400 "
        "| 52.5 |",
    ]


def test_a_row_of_our_app() -> None:
    app = {"type": "app", "manufacturer": "Example", "model": "Phone", "soc": "", "os": "Android 15", "app": "0.1.0"}
    found = DeviceBenchmark.model_validate(benchmark().model_dump() | {"device": app})
    (cells,) = devices.rows_of(found)
    assert cells[:3] == ["Example Phone, Android 15", "our app 0.1.0", "m, web, fp32"]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("{}", "is not what nelf bench"), ("", "is not")]
)
def test_other_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    page, file = tmp_path / "devices.md", tmp_path / "1.json"
    page.write_text(devices.PAGE.read_text())
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(devices, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["tools.devices", str(file)])
    assert devices.main() == 2
    assert words in capsys.readouterr().err
    assert page.read_text() == devices.PAGE.read_text()


def test_the_rows_of_the_document_fit_its_table() -> None:
    match = devices.ROWS.search((Path(devices.__file__).parents[1] / "docs/devices.md").read_text())
    assert match
    assert {line.count(" | ") for line in (match[1] + match[2]).splitlines()} == {9}


def test_bundles_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `nelf bench` wrote goes into the table, also where it was cut short; its exit code stays."""
    page = tmp_path / "devices.md"
    page.write_text(devices.PAGE.read_text())
    calls: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        calls.append(command[3:-1])
        if command[4] != "nowhere":
            Path(command[-1]).write_text(benchmark(ended="why").model_dump_json())
        return subprocess.CompletedProcess(command, 2)

    monkeypatch.setattr(devices, "PAGE", page)
    monkeypatch.setattr(devices.subprocess, "run", run)
    for words in (["nowhere"], ["a", "b"], ["a", "--browser", "chromium"]):
        monkeypatch.setattr(sys, "argv", ["tools.devices", *words])
        assert devices.main() == 2
    assert calls == [
        ["bench", "nowhere", "--device", "browser", "--json"],
        ["bench", "a", "b", "--device", "browser", "--json"],
        ["bench", "a", "--browser", "chromium", "--json"],
    ]
    assert page.read_text().count("(cut short)") == 1
