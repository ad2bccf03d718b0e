"""`nelf bench --device browser`: the plan, the reports of a page, and devices that fall silent. The page is played."""

import json
import os
import shutil
import socket
import stat
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from nelf.benchmark import browser, open_subjects
from nelf.benchmark.browser import Session, make_plan, read_report, wait_for_reports
from nelf.benchmark.report import DeviceBenchmark, Report, as_benchmark
from nelf.benchmark.tables import device_tables
from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.progress import Stop
from nelf.viewer import phone
from nelf.viewer.server import MOST_REPORT, ViewerServer
from nelf.viewer.site import ASSETS, EXAMPLE, Site
from tests.pipeline.commands import refused, refused_at_once, works
from tests.viewer.browsers import ask, fake_viewer, serving, small_bundle, trusting

PLAN = make_plan(["a", "b"], 30.0, 0.0)
DEVICE = {"type": "browser", "user_agent": "Firefox/140", "platform": "iPhone", "cores": 6, "memory_gb": None,
          "screen": [390, 844, 3], "gpu": "apple", "mobile": True}  # fmt: skip

LATENCY = {"median": 8.0, "p90": 10.0, "p95": 11.0, "mean": 8.5}


def measured(bundle: str, frames: int = 100, **changed: Any) -> dict[str, Any]:
    return {
        "bundle": bundle, "model_sha256": None, "backend": "webgpu", "passed_over": [], "threads": 1,
        "load_milliseconds": 250.5, "first_frame_milliseconds": 400, "frames": frames, "rate": 60.0, "latency": LATENCY,
        "sustained": [], "conditions": [], "memory_mb": None, "golden_psnr": 52.5,
    } | changed  # fmt: skip


def report(*results: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "protocol": 2, "finished": False, "stopped": None, "device": DEVICE, "results": list(results), "visible": True,
    } | changed  # fmt: skip


def sent(session: Session, *reports: dict[str, Any], sender: str = "phone") -> list[HTTPStatus]:
    return [session.receive(json.dumps(one).encode(), sender)[0] for one in reports]


def heard(session: Session) -> tuple[Report, str | None, list[str]]:
    said: list[str] = []
    found, ended = wait_for_reports(session, Stop(), said.append)
    return found, ended, said


def test_a_run_to_its_end() -> None:
    session = Session(PLAN)
    first, last = report(measured("a", 5)), report(measured("a"), measured("b"), finished=True)
    assert sent(session, first, last) == [HTTPStatus.OK] * 2
    kept: list[tuple[int, str | None]] = []
    said: list[str] = []
    found, ended = wait_for_reports(session, Stop(), said.append, lambda one, why: kept.append((len(one.results), why)))
    assert ended is None
    assert [one.frames for one in found.results] == [100, 100]
    assert kept == [(1, "the page was silent for 60 s: it was closed, or the phone sleeps"), (2, None)]
    assert said == [
        "the browser tells: user agent Firefox/140, platform iPhone, cores 6, screen [390.0, 844.0, 3.0], gpu apple, "
        "mobile True",
        "a: webgpu, first picture after 400 ms",
        "b: webgpu, first picture after 400 ms",
    ]


NOT_FINITE = json.dumps(report(measured("a", load_milliseconds=1e999))).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (NOT_FINITE, "is not JSON"),
        (b"3", "is not valid"),
        (b"{}", "speaks protocol None, this nelf 2; build the page again: make web"),
        (report(protocol=1), "speaks protocol 1, this nelf 2"),
        (report(protocol="x" * 999), "speaks protocol " + 20 * "x" + ", this"),
        ({"protocol": 2}, "is not valid: finished"),
        (report(measured("a", frames=-1)), "results.0.frames"),
        (report(measured("a", frames=2.5)), "results.0.frames"),
        (report(measured("a", backend="x" * 500)), "results.0.backend"),
        (report(measured("a", latency=LATENCY | {"mean": -1})), "results.0.latency.mean"),
        (report(*[measured("a")] * 300), "results should|results: List"),
        (report(device={**DEVICE, "user_agent": "x" * 500}), "device.user_agent"),
        (report(device={**DEVICE, "screen": [1, 2]}), "device.screen"),
        (report(device={**DEVICE, "cores": "6"}), "device.cores"),
        (report(measured("c")), "'c', which is not in the plan"),
        (report(measured("a"), measured("a")), "'a', which is not in the plan or there twice"),
        (report(measured("a"), finished=True), "says it has finished, with 1 of 2 bundles"),
        (report(measured("a"), measured("b"), finished=True, stopped="why"), "finished and stopped contradict"),
    ],
)
def test_reports_that_are_refused(body: Any, words: str) -> None:
    sent_body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BenchError, match=words) as error:
        read_report(sent_body, PLAN)
    assert "\n" not in str(error.value)
    session = Session(PLAN)
    assert session.receive(sent_body, "phone") == (HTTPStatus.BAD_REQUEST, str(error.value))


def test_keys_of_a_later_page_are_ignored() -> None:
    assert read_report(json.dumps(report(battery=0.5)).encode(), PLAN).visible


def test_a_refused_report_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once, and the run goes on."""
    session = Session(PLAN)
    wrong, whole = report(measured("c")), report(measured("a"), measured("b"), finished=True)
    assert sent(session, wrong, wrong, whole) == [HTTPStatus.BAD_REQUEST] * 2 + [HTTPStatus.OK]
    found, ended, said = heard(session)
    assert (ended, len(found.results)) == (None, 2)
    assert [line for line in said if "not in the plan" in line] == said[:1]


def test_another_device_waits() -> None:
    session = Session(PLAN)
    other = {**DEVICE, "user_agent": "another"}
    assert sent(session, report()) == [HTTPStatus.OK]
    assert sent(session, report(device=other)) == [HTTPStatus.CONFLICT]
    assert sent(session, report(), sender="elsewhere") == [HTTPStatus.CONFLICT]
    assert sent(session, report()) == [HTTPStatus.OK]


def test_a_phone_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "SILENCE_SECONDS", 0.3)
    session = Session(PLAN)
    sent(session, report(measured("a")))
    found, ended, _ = heard(session)
    assert ended == "the page was silent for 0 s: it was closed, or the phone sleeps"
    assert [one.bundle for one in found.results] == ["a"]


def test_a_page_that_is_reloaded_begins_anew_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "SILENCE_SECONDS", 0.3)
    session = Session(PLAN)
    sent(session, report(measured("a"), measured("b", 30)), report(measured("a"), stopped="the page was closed"),
         report(measured("a", 10)))  # fmt: skip
    found, ended, _ = heard(session)
    assert [(one.bundle, one.frames) for one in found.results] == [("a", 100), ("b", 30)]
    assert ended is not None


def test_a_page_that_stops_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "RELOAD_SECONDS", 0.3)
    session = Session(PLAN)
    sent(session, report(measured("a"), stopped="no WebAssembly"))
    assert heard(session)[1] == "no WebAssembly"


def test_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "ARRIVAL_SECONDS", 0.3)
    with pytest.raises(BenchError, match="sent no report within 0 s; open the address again, in the same network"):
        heard(Session(PLAN))
    session = Session(PLAN)
    sent(session, report(protocol=1))
    with pytest.raises(BenchError, match="within 0 s; the page speaks protocol 1"):
        heard(session)
    with pytest.raises(BenchError, match="the browser ended"):
        wait_for_reports(Session(PLAN), Stop(), print, alive=lambda: False)


def test_ctrl_c() -> None:
    with pytest.raises(Interrupted, match="no browser had reported"):
        wait_for_reports(Session(PLAN), Stop(requested=True), print)
    session, stop = Session(PLAN), Stop()
    sent(session, report(measured("a")))

    def ask_to_stop(one: Report, why: str | None) -> None:
        stop.requested = True

    assert wait_for_reports(session, stop, print, ask_to_stop)[1] == "stopped by Ctrl-C"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    fake_viewer(tmp_path / "assets", monkeypatch)
    session = Session(PLAN)
    site = Site(small_bundle(tmp_path / "a"), small_bundle(tmp_path / "b"))
    with serving(ViewerServer(site, 0, plan=PLAN, receive=session.receive)) as running:
        yield running


def test_reports_over_the_network(server: ViewerServer) -> None:
    token = server.token
    assert json.loads(ask(server, f"/{token}/server.json")[2])["benchmark"] == {
        "bundles": ["a", "b"], "warm_up_seconds": 3, "seconds": 30, "minutes": None,
    }  # fmt: skip
    body = json.dumps(report(measured("a"))).encode()

    def post(target: str, body: bytes | None = body, **more: Any) -> tuple[int, str]:
        status, _, said = ask(server, target, method="POST", body=body, **more)
        return status, said.decode()

    assert post(f"/{token}/report") == (200, "kept")
    assert post(f"/{token}/report", b"{")[0] == 400
    assert post("/report")[0] == 403
    assert post(f"/{token}/manifest.json")[0] == 501
    assert post(f"/{token}/report", None)[0] == 411
    assert post(f"/{token}/report", b"", length=MOST_REPORT + 1)[0] == 413
    assert post(f"/{token}/report", b"", length=-1)[0] == 411
    assert post(f"/{token}/report", host="evil.example")[0] == 421
    assert ask(server, f"/{token}/report")[0] == 404


def test_a_report_that_never_ends(server: ViewerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is given up, and others are served meanwhile."""
    monkeypatch.setattr("nelf.viewer.server.Handler.timeout", 0.3)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as slow:
        head = f"POST /{server.token}/report HTTP/1.1\r\nHost: localhost:{server.server_port}\r\nContent-Length: 99"
        slow.sendall(f"{head}\r\n\r\n{{".encode())
        assert ask(server, f"/{server.token}/")[0] == 200
        assert slow.recv(1) == b""


# The command


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in Chromium's place that posts reports as the page does."""
    fake_viewer(tmp_path / "assets", monkeypatch)

    def play(script: str) -> None:
        program = tmp_path / "bin" / "chromium"
        program.parent.mkdir(exist_ok=True)
        code = tmp_path / "page.py"
        code.write_text(PAGE + script)
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{code}' \"$@\"\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return play


PAGE = f"""
import json, sys, time, urllib.request
assert "--headless=new" in sys.argv
url = sys.argv[-1].removesuffix("?benchmark=auto")
def get(name):
    return json.load(urllib.request.urlopen(url + name))
ids = get("server.json")["benchmark"]["bundles"]
assert [one["id"] for one in get("bundles.json")["bundles"]] == ids
assert get(f"bundles/{{ids[0]}}/manifest.json")["name"] == "stilllife"
result = {measured("")!r}
report = {report()!r}
def post(**changed):
    urllib.request.urlopen(url + "report", json.dumps(report | changed).encode()).read()
"""


@pytest.mark.slow
def test_in_chromium(page: Callable[[str], None], tmp_path: Path) -> None:
    page("post(results=[result | {'bundle': one} for one in ids], finished=True)\ntime.sleep(60)")
    shutil.copytree(EXAMPLE, tmp_path / "second")
    outcome = works("bench", EXAMPLE, tmp_path / "second", "--browser", "chromium", "--json", tmp_path / "b.json",
                    "--seconds", "5", "--minutes", "0.5")  # fmt: skip
    assert "iPhone, apple" in outcome.out
    assert "the browser tells: user agent Firefox/140" in outcome.err
    content = json.loads((tmp_path / "b.json").read_text())
    assert (content["format"], content["version"], content["ended"]) == ("nelf-bench-device", "2.0", None)
    assert (content["warm_up_seconds"], content["seconds"], content["minutes"]) == (3, 5, 0.5)
    assert content["device"] == DEVICE
    first, second = content["results"]
    assert (first["name"], first["bundle"], second["name"]) == ("example", "example", "second")
    assert (first["target"], first["precision"], first["student"], first["width"]) == ("android", "int8", "m", 128)
    assert (first["latency"]["median"], first["golden_psnr"]) == (8, 52.5)
    assert first["macs"] > 1e8
    assert DeviceBenchmark.model_validate_json((tmp_path / "b.json").read_text()).results


@pytest.mark.slow
def test_the_page_itself_in_chromium(tmp_path: Path) -> None:
    """The built page, which begins by itself. `make webtest` builds it and brings Chromium."""
    missing = not (ASSETS / "index.html").is_file() or not any(map(shutil.which, browser.CHROMIUMS))
    if missing and os.environ.get("CI") != "true":
        pytest.skip("not run: no built viewer or no Chromium; make webtest brings both")
    outcome = works("bench", EXAMPLE, "--browser", "chromium", "--json", tmp_path / "b.json", "--seconds", "1")
    content = json.loads((tmp_path / "b.json").read_text())
    (result,) = content["results"]
    assert (content["ended"], content["visible"]) == (None, True)
    assert "HeadlessChrome" in content["device"]["user_agent"]
    assert result["golden_psnr"] > 40
    assert result["frames"] > 5
    assert result["first_frame_milliseconds"] > result["load_milliseconds"] > 0
    assert result["backend"] in outcome.out + outcome.err


@pytest.mark.slow
def test_a_browser_that_crashes_leaves_what_it_had(page: Callable[[str], None], tmp_path: Path) -> None:
    page("post(results=[result | {'bundle': ids[0], 'sustained': [{'second': 10, 'frames': 9, 'median': 8.0}]}])")
    line = refused("bench", EXAMPLE, "--browser", "chromium", "--json", tmp_path / "b.json")
    assert line == "the browser ended; what was measured is kept"
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["ended"] == "the browser ended"
    assert content["results"][0]["sustained"] == [{"second": 10, "frames": 9, "median": 8}]


@pytest.mark.slow
def test_a_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The command says an address and waits for the phone that opens it."""
    fake_viewer(tmp_path / "assets", monkeypatch)
    monkeypatch.setattr(phone, "keys_folder", lambda: tmp_path / "keys")
    monkeypatch.setattr(phone, "own_addresses", lambda: ["127.0.0.1"])

    class Scanned(phone.PhoneServer):
        def introduction(self, query: str = "") -> str:
            threading.Thread(target=scan, args=(self.urls(query)[0],)).start()
            return super().introduction(query)

    def scan(url: str) -> None:
        trust = trusting(phone.load_authority(tmp_path / "keys"))
        body = json.dumps(report(measured("example"), finished=True, visible=False)).encode()
        with urllib.request.urlopen(url.replace("?benchmark", "report"), body, timeout=10, context=trust) as answer:
            assert answer.read() == b"kept"

    monkeypatch.setattr(phone, "PhoneServer", Scanned)
    outcome = works("bench", EXAMPLE, "--device", "browser")
    assert outcome.out.startswith("https://127.0.0.1:")
    assert outcome.out.splitlines()[0].endswith("/?benchmark")
    assert "in the background for a time: do not trust the figures" in outcome.out
    assert "iOS: tap " in outcome.err


@pytest.mark.slow
def test_what_the_command_refuses(
    tmp_path: Path, lite_file: Path, page: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, arguments in {
        "--browser firefox is not known; use chromium, or --device browser for a phone": ["--browser", "firefox"],
        "--threads is not for a browser": ["--device", "browser", "--threads", "2"],
        "--runs is not for a browser": ["--browser", "chromium", "--runs", "5"],
        "--device is not for a browser": ["--browser", "chromium", "--device", "adb"],
        "--seconds is for a browser or our app; add --device browser, or --app PACKAGE": ["--seconds", "5"],
        "--seconds is not for a file that an app wrote": ["--app-report", "a.json", "--seconds", "5"],
        "--seconds 0.5 is not allowed; use 1 to 3600": ["--device", "browser", "--seconds", "0.5"],
        "--device ios is not known; use adb, adb:SERIAL if several phones are connected, or browser": [
            "--device",
            "ios",
        ],
    }.items():
        assert words in refused_at_once("bench", EXAMPLE, *arguments)
    assert "small.tflite is a file; a browser measures bundles" in refused("bench", lite_file, "--device", "browser")
    assert "is given twice" in refused("bench", EXAMPLE, EXAMPLE, "--browser", "chromium")
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refused("bench", EXAMPLE, "--browser", "chromium")
    assert "there is no Chromium: chromium, chromium-browser, google-chrome are not on the PATH; install one" in line


def test_the_plan() -> None:
    assert make_plan(["x"], 5.0, 2.5) == {"bundles": ["x"], "warm_up_seconds": 3, "seconds": 5, "minutes": 2.5}
    with pytest.raises(ConfigError, match="--minutes -1 is negative"):
        make_plan(["x"], 5.0, -1.0)


def test_the_table_of_a_page_that_measured_nothing() -> None:
    (example,) = open_subjects([EXAMPLE])
    empty = as_benchmark(read_report(json.dumps(report()).encode(), PLAN), PLAN, {"a": example}, "why")
    (table,) = device_tables(empty)
    assert table.row_count == 0
