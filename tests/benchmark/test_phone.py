"""Measuring on a phone with a fake adb: commands sent, answers read, and the message of each failure."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nelf.benchmark import ModelUnderTest, open_subjects
from nelf.benchmark.adb import SCRIPT, Adb, parse_condition
from nelf.benchmark.benchmark_model import read_output
from nelf.benchmark.phone_app import bench_app, read_app_files
from nelf.benchmark.report import DeviceBenchmark, Report, milliwatts
from nelf.benchmark.tables import UNTESTED, device_tables
from nelf.bundle import Manifest
from nelf.core.errors import BenchError
from nelf.core.progress import Stop
from tests.benchmark.answers import APP_FILE, CONDITION, CPU_RUN, CRASH, GPU_RUN
from tests.pipeline.commands import refused, works
from tests.vectors.manifests import MANIFESTS

pytestmark = pytest.mark.slow

SERIAL = "0A1B2C"
Phone = Callable[..., list[list[str]]]


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[list[str]]]]:
    """Puts the fake adb on the PATH in the given state; returns the list of calls."""
    folder, state, log = tmp_path / "bin", tmp_path / "state.json", tmp_path / "log"
    folder.mkdir()
    program = folder / "adb"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S '{Path(__file__).with_name('fake_adb.py')}' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("FAKE_ADB", str(state))
    monkeypatch.setenv("FAKE_ADB_LOG", str(log))

    def set_up(**told: Any) -> Callable[[], list[list[str]]]:
        log.write_text("")
        answers = {"--graph=": CPU_RUN, "thermal_zone": CONDITION, "getprop ro.product.model": "Phone"}
        answers |= told.pop("answers", {})
        state.write_text(json.dumps({"devices": {SERIAL: "device"}, **told, "answers": answers}))
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return set_up


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark_model"
    path.write_bytes(b"\x7fELF")
    return path


# benchmark_model


def test_a_run_on_the_cpu(phone: Any, tool: Path, lite_file: Path, tmp_path: Path) -> None:
    calls = phone()
    outcome = works(
        *("bench", lite_file, "--device", "adb", "--benchmark-model", tool, "--threads", "2", "--runs", "50"),
        *("--json", tmp_path / "phone.json"),
    )
    assert UNTESTED in " ".join(outcome.out.split())
    assert "Convolution (NHWC, F32) IGEMM" in outcome.out
    content = json.loads((tmp_path / "phone.json").read_text())
    assert content["untested_on_hardware"] is True
    assert content["device"]["model"] == "Phone"
    run = content["results"][0]["first"]["run"]
    assert (run["frames"], run["init_ms"], run["first_ms"], run["mean_ms"]) == (188, 21.5, 9.12, 5.29025)
    assert (run["median_ms"], run["p95_ms"], run["max_ms"]) == (5.275, 5.45, 10.0)
    assert (run["memory_init_mb"], run["memory_mb"], run["delegated"]) == (12.5, 24.25, None)
    assert [o["kind"] for o in run["profile"]] == ["Convolution (NHWC, F32) IGEMM", "GELU (NC)", "Multiply (ND)"]
    assert run["profile"][1] == {"kind": "GELU (NC)", "count": 10, "ms": 0.75, "share": 0.15}
    sent = [call[2:] for call in calls() if call[0] == "-s"]
    pushed = [words for words in sent if words[0] == "push"]
    assert [Path(words[1]) for words in pushed] == [tool, lite_file]
    (command,) = [words[1] for words in sent if "--graph=" in words[1]]
    assert "--num_threads=2" in command
    assert "--num_runs=50" in command
    assert "--enable_op_profiling=true" in command
    assert "--use_gpu" not in command
    assert sent[-1][1].startswith("rm -rf /data/local/tmp/nelf-bench-"), "nothing is left on the phone"


def test_the_gpu_and_what_it_refused(phone: Any, tool: Path, lite_file: Path, tmp_path: Path) -> None:
    calls = phone(answers={"--graph=": GPU_RUN})
    where = tmp_path / "phone.json"
    works("bench", lite_file, "--device", f"adb:{SERIAL}", "--benchmark-model", tool, "--accelerator", "gpu",
          "--json", where)  # fmt: skip
    assert any("--use_gpu=true" in call[-1] for call in calls())
    run = json.loads(where.read_text())["results"][0]["first"]["run"]
    assert run["delegated"] == "partially"
    assert [line.partition(":")[0] for line in run["refusals"]] == ["BROADCAST_TO", "TRANSPOSE_CONV"]
    assert (run["memory_mb"], run["median_ms"], run["profile"]) == (96, None, [])


def test_sustained_runs_with_temperatures(phone: Any, tool: Path, lite_file: Path, tmp_path: Path) -> None:
    calls = phone()
    where = tmp_path / "phone.json"
    outcome = works(
        "bench", lite_file, "--device", "adb", "--benchmark-model", tool, "--minutes", "0.01", "--json", where
    )
    result = json.loads(where.read_text())["results"][0]
    assert len(result["sustained"]) >= 1
    assert any("--min_secs=10" in call[-1] for call in calls())
    condition = result["sustained"][0]["condition"]
    assert condition["celsius"] == {"cpu-0-0-usr": 41.3, "skin-therm": 36, "battery": 31.5}
    assert condition["mhz"] == {"cpu0": 1804.8, "cpu7": 2841.6, "gpu": 587.0}
    assert condition["seconds"] >= result["first"]["condition"]["seconds"] > 0
    assert "41.30" in outcome.out


def test_the_script_that_reads_temperatures(tmp_path: Path) -> None:
    """Run it in a real shell, over files laid out like the kernel's."""
    files = {
        "class/thermal/thermal_zone0/temp": "41300",
        "class/thermal/thermal_zone0/type": "cpu-0-0-usr",
        "class/thermal/thermal_zone1/temp": "50000",  # without a type
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1804800",
        "devices/system/cpu/cpu7/cpufreq/scaling_cur_freq": "2841600",
        "class/devfreq/13000000.mali/cur_freq": "587000000",
    }
    for name, content in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    dumpsys = tmp_path / "dumpsys"
    dumpsys.write_text("#!/bin/sh\nprintf 'Current Battery Service state:\\n  level: 80\\n  temperature: 315\\n'\n")
    dumpsys.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NELF_SYSFS": str(tmp_path / "sys")}
    done = subprocess.run(["sh", "-c", f"{SCRIPT} 2>&1"], env=environment, capture_output=True, text=True, check=True)
    found = parse_condition(done.stdout, 1.0)
    assert found.celsius == {"cpu-0-0-usr": 41.3, "battery": 31.5}
    assert found.mhz == {"cpu0": 1804.8, "cpu7": 2841.6, "gpu": 587.0}


def test_a_phone_that_tells_nothing() -> None:
    found = parse_condition("/system/bin/sh: dumpsys: inaccessible or not found\n", 1.0)
    assert (found.celsius, found.mhz, found.hottest) == ({}, {}, None)


def test_older_and_newer_builds_of_the_tool() -> None:
    run = read_output(GPU_RUN.replace("Peak memory footprint", "Overall peak memory footprint"))
    assert run.memory_mb == 96
    assert read_output(CPU_RUN.replace("INFO: ", "")) == read_output(CPU_RUN)
    assert read_output(CPU_RUN.replace("INFO: Memory footprint", "Nothing")).memory_mb is None


def without_adb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("told", "device", "message"),
    [
        ({"devices": {}}, "adb", "adb sees no device; connect a phone"),
        ({"devices": {}}, "adb:77", "--device adb:77: adb sees no device"),
        ({"devices": {"A": "device", "B": "device"}}, "adb", "2 devices (A, B); choose one: --device adb:A"),
        ({"devices": {"A": "device"}}, "adb:B", "--device adb:B: adb sees A"),
        ({"devices": {"A": "unauthorized"}}, "adb", "A has not allowed this computer; unlock it"),
        ({"devices": {"A": "offline"}}, "adb", "A is offline; plug it in again"),
        ({"devices": {"A": "no permissions (user in plugdev group)"}}, "adb", "A may not be opened by this user"),
        ({"devices": {"A": "recovery"}}, "adb", "A is in state 'recovery'"),
        ({"full": True}, "adb", "failed (code 1): adb: error: failed to copy"),
        ({"answers": {"--graph=": CRASH}}, "adb", "measured nothing; it said: "),
        (
            {"answers": {"--graph=": CRASH}, "codes": {"--graph=": 1}},
            "adb",
            "benchmark_model of small.tflite failed (code 1)",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:24],
)
def test_each_failure_is_one_line(
    phone: Any, tool: Path, lite_file: Path, told: dict[str, Any], device: str, message: str
) -> None:
    phone(**told)
    assert message in refused("bench", lite_file, "--device", device, "--benchmark-model", tool)


def test_a_phone_that_vanishes_leaves_what_was_measured(
    phone: Any, tool: Path, lite_file: Path, tmp_path: Path
) -> None:
    calls = phone()
    where, on_phone = tmp_path / "phone.json", ("--device", "adb", "--benchmark-model", tool, "--minutes", "5")
    bench_once = ("bench", lite_file, "--device", "adb", "--benchmark-model", tool)
    works(*bench_once)
    a_run = len(calls()) - 1  # all but the removal
    phone(gone_after=a_run + 4)  # two more runs, each with its temperatures
    assert "'0A1B2C' not found; earlier results are kept" in refused("bench", lite_file, *on_phone, "--json", where)
    content = json.loads(where.read_text())
    assert len(content["results"][0]["sustained"]) == 2
    assert "not found" in content["ended"]
    phone(gone_after=a_run - 2)
    said = refused(*bench_once)
    assert "benchmark_model of small.tflite failed (code 1): adb: device" in said, "not what tidying up met"


def test_no_adb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: Path, lite_file: Path) -> None:
    without_adb(monkeypatch, tmp_path)
    assert "install Android's platform-tools" in refused(
        "bench", lite_file, "--device", "adb", "--benchmark-model", tool
    )


def test_what_cannot_be_measured_on_a_phone(phone: Any, tool: Path, lite_file: Path, onnx_file: Path) -> None:
    phone()
    on_phone = ("--device", "adb", "--benchmark-model")
    assert "runs .tflite files" in refused("bench", onnx_file, *on_phone, tool)
    assert "is not a file; LiteRT's page" in refused("bench", lite_file, *on_phone, "nowhere")
    assert "use one of cpu, gpu" in refused("bench", lite_file, *on_phone, tool, "--accelerator", "npu")
    assert "one number at a time" in refused("bench", lite_file, *on_phone, tool, "--threads", "1,2")
    assert "--threads 0 is too few" in refused("bench", lite_file, *on_phone, tool, "--threads", "0")
    assert "--runs 0 is too few" in refused("bench", lite_file, *on_phone, tool, "--runs", "0")
    assert "--minutes -1 is negative" in refused("bench", lite_file, *on_phone, tool, "--minutes", "-1")
    assert "--minutes -1 is negative" in refused(
        "bench", lite_file, "--device", "adb", "--app", "org.nelf", "--minutes", "-1"
    )
    assert "opens bundles of the target android" in refused("bench", lite_file, "--device", "adb", "--app", "org.nelf")


# The app


@pytest.fixture
def subject(lite_file: Path, tmp_path: Path) -> ModelUnderTest:
    """A bundle with the parts that adb and the app's answer use."""
    folder = tmp_path / "android"
    folder.mkdir()
    shutil.copy(lite_file, folder / "model.tflite")
    content = MANIFESTS["around"] | {"target": "android"}
    content["files"] = [{"path": "model.tflite", "role": "model", "bytes": 1, "sha256": "ab" * 32}]
    manifest = Manifest.model_validate_json(json.dumps(content))
    (plain,) = open_subjects([lite_file])
    return replace(plain, name="android", folder=folder, path=folder / "model.tflite", manifest=manifest)


def answer(model: str = "ab" * 32, **changes: Any) -> str:
    results = [one | {"model_sha256": model} for one in APP_FILE["results"]]
    return json.dumps(APP_FILE | {"results": results} | changes)


INSTALLED = {"pm list packages": "package:org.nelf.viewer"}


def measured(subject: ModelUnderTest, accelerator: str = "auto", minutes: float = 0.0) -> DeviceBenchmark:
    said: list[str] = []
    return bench_app(Adb(SERIAL), [subject], "org.nelf.viewer", accelerator, 30.0, minutes, Stop(), said.append,
                     sleep=lambda _: None)  # fmt: skip


def test_the_app_measures(phone: Any, subject: ModelUnderTest) -> None:
    calls = phone(answers=INSTALLED | {"cat /sdcard": answer()})
    found = measured(subject, "gpu", minutes=2.0)
    (result,) = found.results
    assert (found.ended, found.visible, result.name, result.backend) == (None, True, "android", "gpu")
    assert (result.latency.median, result.conditions[0].headroom, milliwatts(result.conditions)) == (7.1, None, 3200)
    sent = [call[2:] for call in calls()]
    (start,) = [words[1] for words in sent if "am start" in words[1]]
    assert start.startswith("am start -S -W -a org.nelf.action.BENCHMARK -p org.nelf.viewer --es bundle nelf-bench-")
    assert "--es accelerator gpu --ef warm_up_seconds 3 --ef seconds 30 --ef minutes 2 --es token " in start
    (pushed,) = [words for words in sent if words[0] == "push"]
    assert pushed[1] == str(subject.folder)
    assert pushed[2].startswith("/sdcard/Android/data/org.nelf.viewer/files/bundles/nelf-bench-")
    assert "rm -rf /sdcard/Android/data/org.nelf.viewer/files/bundles/nelf-bench-" in sent[-1][1]
    first, over_time = device_tables(found)
    assert UNTESTED in str(first.title)
    assert [list(column.cells) for column in over_time.columns][:4] == [["1", "2"], ["61.0", "59.0"],
                                                                       ["7.00", "7.20"], ["1", "1"]]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (answer(finished=False, stopped="no accelerator", results=[]), "the app measured nothing: no accelerator"),
        (answer(results=[]), "the app measured nothing: no frame came"),
        (answer("cd" * 32), "the app measured another model"),
        (answer(protocol=1), "the app speaks protocol 1, this nelf 2; install the app again"),
        (json.dumps({"format": "nelf-app-benchmark", "version": "1.0"}), "the app speaks protocol None"),
        (answer(plan=None), "is not that of one bundle on one device"),
        (answer(device={"type": "else"}), "the app's report is not valid: device"),
        ("{cut", "is not JSON"),
    ],
)
def test_answers_of_the_app_that_are_refused(phone: Any, subject: ModelUnderTest, text: str, message: str) -> None:
    phone(answers=INSTALLED | {"cat /sdcard": text})
    with pytest.raises(BenchError, match=message):
        measured(subject)


def test_an_app_that_is_cut_short_leaves_what_it_had(
    phone: Any, subject: ModelUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its screen is left; it falls silent, as on a phone that sleeps; the phone is gone."""
    phone(answers=INSTALLED | {"cat /sdcard": answer(finished=False, stopped="the screen was left", visible=False)})
    found = measured(subject)
    assert (found.ended, found.visible, found.results[0].frames) == ("the screen was left", False, 1800)
    monkeypatch.setattr("nelf.benchmark.phone_app.SILENCE_SECONDS", -1.0)
    calls = phone(answers=INSTALLED | {"cat /sdcard": answer(finished=False)})
    assert str(measured(subject).ended).startswith("org.nelf.viewer was silent for ")
    phone(answers=INSTALLED | {"cat /sdcard": answer(finished=False)}, gone_after=len(calls()) - 2)
    monkeypatch.setattr("nelf.benchmark.phone_app.SILENCE_SECONDS", 60.0)
    assert "'0A1B2C' not found" in str(measured(subject).ended)


def test_ctrl_c_keeps_the_bundles_before(phone: Any, subject: ModelUnderTest) -> None:
    """The second bundle has measured nothing yet."""
    phone(answers=INSTALLED | {"cat /sdcard": answer()})
    stop, subjects = Stop(), [subject, replace(subject, name="second")]

    def echo(line: str) -> None:
        if line.startswith("second: "):
            stop.requested = True
            phone(answers=INSTALLED | {"cat /sdcard": answer(token="old")})

    found = bench_app(Adb(SERIAL), subjects, "org.nelf.viewer", "auto", 30.0, 0.0, stop, echo)
    assert (found.ended, [one.name for one in found.results]) == ("stopped by Ctrl-C", ["android"])


def test_an_app_that_is_not_there_or_says_nothing(
    phone: Any, subject: ModelUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone()
    with pytest.raises(BenchError, match=r"org\.nelf\.viewer is not installed"):
        measured(subject)
    monkeypatch.setattr("nelf.benchmark.phone_app.GRACE_SECONDS", -1.0)
    phone(answers=INSTALLED | {"cat /sdcard": answer(token="old")})
    with pytest.raises(BenchError, match=r"measured nothing: org\.nelf\.viewer was silent .* is the phone unlocked"):
        measured(subject)


def test_files_that_the_ios_app_wrote(subject: ModelUnderTest, tmp_path: Path) -> None:
    file = tmp_path / "benchmark.json"
    file.write_text(answer())
    found = read_app_files([file], [subject])
    assert (found.ended, found.seconds, found.results[0].name) == (None, 30, "android")
    for text, why in {
        answer(finished=False, stopped="the app was left"): "the app was left",
        answer(finished=False): "the app ended before its time",
    }.items():
        file.write_text(text)
        assert read_app_files([file], [subject]).ended == why
    for text, message in {
        answer(results=[], finished=False): "the app measured nothing: it had just begun",
        answer("cd" * 32): "is of another model than android",
        "": "cannot be read: the app's report is not JSON",
    }.items():
        file.write_text(text)
        with pytest.raises(BenchError, match=message):
            read_app_files([file], [subject])
    with pytest.raises(BenchError, match=r"none\.json cannot be read: No such file"):
        read_app_files([tmp_path / "none.json"], [subject])


def test_power_is_told_only_on_battery() -> None:
    told = Report.model_validate(APP_FILE).results[0].conditions[0]
    warm = told.model_copy(update={"battery_milliamperes": 1000.0})
    assert milliwatts([told, warm]) == 3600
    assert milliwatts([told, warm.model_copy(update={"charging": True})]) is None
    assert milliwatts([told.model_copy(update={"battery_volts": None})]) is None
    assert milliwatts([]) is None
