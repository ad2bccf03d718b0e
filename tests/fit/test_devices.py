"""This machine, a phone and a browser as devices: what they measure, and how they are named. Nothing is timed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nelf.benchmark import browser
from nelf.benchmark.results import Machine
from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.progress import Stop
from nelf.fit import devices, open_device
from nelf.fit.devices import Browser, Host, Phone
from tests.benchmark.test_browser import LATENCY, measured, report

BUNDLES = [Path("reference"), Path("network-0"), Path("network-1")]


def introduce(urls: Sequence[str], text: str) -> None:
    raise AssertionError("no phone is asked")


@pytest.fixture(autouse=True)
def _nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "open_subjects", list)


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def bench(subjects: list[Path], options: Any, progress: Callable[[float], None], describe: Any) -> Any:
        progress(1.0)
        assert subjects == BUNDLES
        assert options.threads == (1,)
        times = [SimpleNamespace(times=SimpleNamespace(median_ms=ms)) for ms in (3.0, 4.0, 5.0)]
        return SimpleNamespace(results=[SimpleNamespace(measurements=[one]) for one in times])

    monkeypatch.setattr(devices, "bench", bench)
    monkeypatch.setattr(devices, "describe_machine", lambda threads: Machine("A processor", "Linux x", 2, 0.0, {}))
    host = Host(1)
    found = host.measure(BUNDLES, Stop())
    assert found.milliseconds == [3.0, 4.0, 5.0]
    assert found.ended is None
    assert found.device == host.facts
    assert str(host.facts).startswith("A processor, Linux x (LiteRT ")
    assert str(host.facts).endswith(", 1 threads)")
    with pytest.raises(Interrupted):
        host.measure(BUNDLES, Stop(requested=True))


def phone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Phone:
    told = {"serial": "1A", "manufacturer": "Maker", "model": "Phone", "soc": "", "os": "16"}
    monkeypatch.setattr(devices, "connect", lambda serial: serial)
    monkeypatch.setattr(devices, "describe", lambda adb: told)
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(b"\x7fELF")
    found = open_device("adb:1A", None, tool, "gpu", introduce)
    assert isinstance(found, Phone)
    return found


def test_a_phone_that_is_unplugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def bench(adb: object, subjects: list[Path], options: Any, progress: Callable[[str], None]) -> Any:
        assert (adb, options.accelerator, options.threads) == ("1A", "gpu", 4)
        progress("network-0: 60 frames")
        runs = [(7.0, 7.5), (None, 8.5)]  # not every build of the tool tells the median
        results = [
            SimpleNamespace(first=SimpleNamespace(run=SimpleNamespace(median_ms=median, mean_ms=mean)))
            for median, mean in runs
        ]
        return SimpleNamespace(results=results, ended="adb: device not found")

    monkeypatch.setattr(devices, "bench_on_phone", bench)
    device = phone(monkeypatch, tmp_path)
    found = device.measure(BUNDLES, Stop())
    assert found.milliseconds == [7.0, 8.5]
    assert found.ended == "adb: device not found"
    assert device.facts.name == "Maker Phone, Android 16"
    assert device.facts.runtime.startswith("benchmark_model ")
    assert device.facts.runtime.endswith(" on gpu")
    with pytest.raises(Interrupted):
        device.measure(BUNDLES, Stop(requested=True))


class PretendServer:
    url = "http://127.0.0.1:1/"

    def __init__(self, *given: Any, **named: Any) -> None: ...

    def __enter__(self) -> "PretendServer":
        return self

    def __exit__(self, *error: object) -> None: ...


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Browser]:
    """Chromium whose page sends these results, by the names of bundles."""

    def play(*ids: str, ended: str | None = None, **changed: Any) -> Browser:
        results = [measured(one, latency={**LATENCY, "median": 8.0 + n}) for n, one in enumerate(ids)]
        told = browser.Report.model_validate(report(*results, finished=ended is None, **changed))

        @contextmanager
        def running(*given: Any, **named: Any) -> Iterator[Any]:
            yield lambda: True

        monkeypatch.setattr(browser, "find_chromium", lambda: "chromium")
        monkeypatch.setattr(
            browser, "make_site", lambda subjects: SimpleNamespace(bundles={one.name: one for one in subjects})
        )
        monkeypatch.setattr(browser, "chromium", running)
        monkeypatch.setattr(browser, "answering", running)
        monkeypatch.setattr(devices, "ViewerServer", PretendServer)
        monkeypatch.setattr(browser, "wait_for_reports", lambda *given, **named: (told, ended))
        found = open_device("chromium", None, None, None, introduce)
        assert isinstance(found, Browser)
        return found

    return play


def test_a_browser(page: Callable[..., Browser]) -> None:
    found = page("reference", "network-0", "network-1").measure(BUNDLES, Stop())
    assert found.milliseconds == [8.0, 9.0, 10.0]
    assert found.ended is None
    assert found.device.kind == "chromium"
    assert found.device.name == "iPhone, apple, Firefox/140"
    assert (found.device.runtime, found.device.threads) == ("webgpu", 1)


def test_a_browser_that_is_closed_keeps_what_was_complete(page: Callable[..., Browser]) -> None:
    found = page("reference", "network-0", ended="the browser ended").measure(BUNDLES, Stop())
    assert found.milliseconds == [8.0]
    assert found.ended == "the browser ended"
    with pytest.raises(BenchError, match="the browser ended; the same command goes on"):
        page("reference", ended="the browser ended").measure(BUNDLES, Stop())


def test_a_page_in_the_background_does_not_count(page: Callable[..., Browser]) -> None:
    with pytest.raises(BenchError, match="was in the background"):
        page("reference", "network-0", "network-1", visible=False).measure(BUNDLES, Stop())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("toaster", None, None, None), "--device toaster is not known; use host, adb, adb:SERIAL, browser, chromium"),
        (("adb", None, None, None), "needs --benchmark-model PATH"),
        (("host", None, Path("tool"), None), "--benchmark-model is for a phone; add --device adb"),
        (("host", None, None, "gpu"), "--accelerator is for a phone; add --device adb"),
        (("browser", 2, None, None), "--threads is not for a browser"),
    ],
)
def test_what_does_not_belong_together_is_refused(given: tuple[Any, Any, Any, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        open_device(*given, introduce)
