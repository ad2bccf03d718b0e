"""The table of a device's times: what it predicts, how it resumes, and which tables are refused."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from nelf import __version__
from nelf.core.errors import BenchError, Interrupted
from nelf.core.progress import Stop
from nelf.fit import Bench, LatencyModel, LatencyTable, SearchSpace, check_table, make_table, read_table, subject_of
from nelf.fit.latency import CHECKED, FITTED, DeviceFacts, plan_networks
from tests.fit.devices import FACTS, MadeUpDevice, exact_model, networks, space, time_of


@pytest.fixture(scope="module")
def of() -> SearchSpace:
    return space()


def bench(of: SearchSpace, device: MadeUpDevice, folder: Path) -> Bench:
    return Bench(of, subject_of(of, "fp32"), device, device.export, folder / "bundles", Stop())


def table(of: SearchSpace, **changes: Any) -> LatencyTable:
    content = {
        "nelf": __version__,
        "device": FACTS,
        "subject": subject_of(of, "fp32"),
        "planned": FITTED + CHECKED,
        "networks": networks(of),
    }
    return LatencyTable(**{**content, **changes})


def test_every_value_of_every_setting_is_in_the_table(of: SearchSpace) -> None:
    fitted = [one.values for one in plan_networks(of) if not one.check]
    for name, options in of.choices.items():
        counts = [sum(values[name] == option for values in fitted) for option in options]
        assert min(counts) >= len(fitted) // len(options) - 2, name
    checks = [one.values for one in plan_networks(of) if one.check]
    assert len(checks) == CHECKED
    assert not [values for values in checks if values in fitted]


def test_an_additive_device_is_predicted(of: SearchSpace) -> None:
    assert max(exact_model(of).errors()) < 1e-3


def test_noise_and_a_kind_of_work_that_it_does_not_know_cost_little(of: SearchSpace) -> None:
    model = LatencyModel(networks(of, noise=0.05))
    assert statistics.median(model.errors()) < 0.05
    assert max(model.errors()) < 0.15
    assert all(cost >= 0 for cost in model.costs.values())


def test_the_error_is_that_of_the_networks_left_out(of: SearchSpace) -> None:
    entries = networks(of)
    slower = [one.model_copy(update={"milliseconds": 2 * one.milliseconds}) if one.check else one for one in entries]
    assert LatencyModel(slower).errors() == pytest.approx([0.5] * CHECKED, abs=1e-3)
    assert "10 other networks: median error 50.0%, largest 50.0%; that is much: " in LatencyModel(slower).describe()
    assert exact_model(of).describe().endswith("median error 0.0%, largest 0.0%")
    assert "is unknown" in LatencyModel([one for one in entries if not one.check]).describe()


def test_a_slow_phase_is_corrected_by_the_reference(of: SearchSpace, tmp_path: Path) -> None:
    device = MadeUpDevice(of)
    device.slow = (1.0, 2.0, 0.5)
    made = make_table(tmp_path / "host.json", bench(of, device, tmp_path))
    assert made.complete
    assert device.measurements > 3
    for entry in made.networks:
        assert entry.milliseconds == pytest.approx(time_of(entry.work))
    assert not list((tmp_path / "bundles").glob("group-*"))
    assert read_table(tmp_path / "host.json") == made


@pytest.mark.parametrize("fails_after", [8, 13])
def test_a_device_that_disconnects_keeps_what_it_had(of: SearchSpace, tmp_path: Path, fails_after: int) -> None:
    device, path = MadeUpDevice(of), tmp_path / "adb.json"
    device.fails_after = fails_after
    with pytest.raises(BenchError, match=r"the phone was unplugged; \d+ of 36 networks are kept in .*adb\.json"):
        make_table(path, bench(of, device, tmp_path))
    kept = read_table(path)
    assert not kept.complete
    assert 0 < len(kept.networks) < fails_after
    exported = len(device.exported)
    made = make_table(path, bench(of, device, tmp_path))
    assert made.networks[: len(kept.networks)] == kept.networks
    assert len(device.exported) - exported == made.planned - len(kept.networks), "only what is missing"
    assert max(LatencyModel(made.networks).errors()) < 1e-3


def test_a_complete_table_is_not_measured_again(of: SearchSpace, tmp_path: Path) -> None:
    path, device = tmp_path / "host.json", MadeUpDevice(of)
    table(of).write(path)
    assert make_table(path, bench(of, device, tmp_path)) == table(of)
    assert not device.exported


def test_a_device_that_never_answers(of: SearchSpace, tmp_path: Path) -> None:
    device = MadeUpDevice(of)
    device.fails_after = 0
    with pytest.raises(BenchError, match="the phone was unplugged; the same command goes on from there"):
        make_table(tmp_path / "adb.json", bench(of, device, tmp_path))
    assert not (tmp_path / "adb.json").exists()


def test_a_request_to_stop_ends_the_exports(of: SearchSpace, tmp_path: Path) -> None:
    device = MadeUpDevice(of)
    stopped = Bench(of, subject_of(of, "fp32"), device, device.export, tmp_path, Stop(requested=True))
    with pytest.raises(Interrupted, match="the same command goes on"):
        make_table(tmp_path / "host.json", stopped)


OTHER = DeviceFacts(kind="host", name="Other processor", runtime="LiteRT 0", threads=2)


def test_the_table_of_another_device_is_refused_by_name(of: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    table(of).write(path)
    expected = r"measured on Made-up processor \(LiteRT 0, 2 threads\), but this device is Other processor"
    device = MadeUpDevice(of, OTHER)
    with pytest.raises(BenchError, match=expected):
        make_table(path, bench(of, device, tmp_path))
    assert not device.exported
    newer = FACTS.model_copy(update={"runtime": "LiteRT 1"})
    with pytest.raises(BenchError, match=r"this device is Made-up processor \(LiteRT 1, 2 threads\)"):
        check_table(path, table(of), subject_of(of, "fp32"), newer)


def test_a_browser_tells_only_afterwards_that_it_is_another(of: SearchSpace, tmp_path: Path) -> None:
    path, device = tmp_path / "browser.json", MadeUpDevice(of, None)
    half = table(of, networks=networks(of)[:12])
    half.write(path)
    device.found_facts = OTHER
    with pytest.raises(BenchError, match="but this device is Other processor"):
        make_table(path, bench(of, device, tmp_path))
    assert read_table(path) == half


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"height": 64}, "has height 64, but this run needs 32"),
        ({"precision": "fp16"}, "has precision fp16, but this run needs fp32"),
        ({"settings": {"middle_reader": "lines"}}, "student.*, but this run needs"),
    ],
)
def test_the_table_of_other_networks_is_refused(of: SearchSpace, changes: dict[str, Any], expected: str) -> None:
    other = table(of, subject=subject_of(of, "fp32").model_copy(update=changes))
    with pytest.raises(BenchError, match=expected):
        check_table(Path("phone.json"), other, subject_of(of, "fp32"), None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "0.9"}, "is of version 0.9, this is 1.0"),
        ({"nelf": "0.0.1"}, rf"is of nelf version 0.0.1, this is {__version__}"),
        ({"format": "nelf-bench"}, "is not a table of times; make one with: nelf fit RUN"),
        ({"planned": 0}, "is damaged: planned"),
    ],
)
def test_a_file_of_another_version_is_refused(
    of: SearchSpace, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "phone.json"
    path.write_text(json.dumps(table(of).model_dump(mode="json") | changes))
    with pytest.raises(BenchError, match=expected):
        read_table(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(BenchError, match=r"x\.json (cannot be read as|is not) a table of times"):
        read_table(tmp_path / "x.json")
