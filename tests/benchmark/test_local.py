"""Measuring on this machine: real runtimes, tiny models."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nelf.benchmark import BenchOptions, bench, open_subjects
from nelf.benchmark.local import WorkerProcess
from nelf.benchmark.results import Machine
from nelf.core.errors import BenchError, ConfigError
from nelf.runtime import open_model
from nelf.runtime.worker import Worker
from tests.export.programs import converted
from tests.pipeline.commands import refused_at_once, works

pytestmark = pytest.mark.slow

CONVOLUTION = 8 * 8 * 9 * 32 * 32  # multiply-accumulates


def no_measuring(threads: object) -> Machine:
    return Machine("made up", "Test", 2, 0.0, {"1": 100.0})


def test_both_runtimes_in_turns(lite_file: Path, onnx_file: Path, tmp_path: Path) -> None:
    package = converted(nn.Conv2d(8, 8, 3, padding=1), torch.zeros(1, 8, 32, 32), tmp_path / "small.mlpackage")
    shares: list[float] = []
    report = bench(
        open_subjects([lite_file, onnx_file, package]), BenchOptions((1,), runs=8), shares.append, no_measuring
    )
    lite, onnx, core_ml = report.results
    assert report.rounds == len(shares) == 8
    assert shares[-1] == 1.0
    assert [lite.runtime.split()[0], onnx.runtime.split()[0]] == ["LiteRT", "ONNX"]  # type: ignore[union-attr]
    assert [lite.macs, onnx.macs, core_ml.macs] == [CONVOLUTION, 2 * CONVOLUTION, CONVOLUTION]
    for result in (lite, onnx):
        (one,) = result.measurements
        assert one.times.frames == 8
        assert 0 < one.times.min_ms <= one.times.median_ms <= one.times.p90_ms <= one.times.p99_ms
        assert one.load_ms > 0
        assert one.gflops == pytest.approx(2 * result.macs / one.times.median_ms / 1e6)
        assert one.peak_share == pytest.approx(one.gflops / 100)
        assert one.no_profile is None
        assert one.profiled_ms == pytest.approx(sum(each.ms for each in one.profile))
        assert sum(each.share for each in one.profile) == pytest.approx(1)
    assert {"Conv": 2, "Sin": 1}.items() <= {o.kind: o.count for o in onnx.measurements[0].profile}.items()
    assert any("GELU" in each.kind.upper() for each in lite.measurements[0].profile), "from inside XNNPACK"
    assert lite.measurements[0].ratio.value == 1
    ratio = onnx.measurements[0].ratio
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low <= ratio.value <= ratio.high
    in_order = [one.kind for one in onnx.measurements[0].operations if one.kind in ("Conv", "Sin")]
    assert in_order == ["Conv", "Sin", "Conv"], "one by one, as they run"
    assert core_ml.measurements == []
    assert "only on Apple's systems" in str(core_ml.not_timed)
    assert core_ml.bytes > 0
    json.dumps(report.as_json(), allow_nan=False)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_peak_memory_is_that_of_the_model(onnx_file: Path, tmp_path: Path) -> None:
    """64 MB more of weights must show, whatever the runtime itself needs."""
    import onnx

    large = onnx.load(str(onnx_file))
    extra = np.random.default_rng(0).standard_normal((1, 8, 1024, 2048)).astype(np.float32)
    large.graph.initializer.append(onnx.numpy_helper.from_array(extra, "extra"))
    large.graph.node.append(onnx.helper.make_node("ReduceSum", ["extra"], ["sum"], keepdims=1))
    large.graph.node[2].output[0] = "z"
    large.graph.node.append(onnx.helper.make_node("Add", ["z", "sum"], ["y"]))
    (tmp_path / "large.onnx").write_bytes(large.SerializeToString())
    peaks = []
    for path in (onnx_file, tmp_path / "large.onnx"):
        with WorkerProcess(path.name, path, 1) as child:
            child.ask("load")
            child.ask("run", frames=1, warm=0)
            peaks.append(child.ask("memory")["peak_mb"])
    assert peaks[1] - peaks[0] > 60


def test_another_model_begins_each_round(onnx_file: Path, lite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []

    class Told(WorkerProcess):
        def ask(self, do: str, **request: Any) -> dict[str, Any]:
            if do == "run" and request["frames"]:
                turns.append(self.name)
            return super().ask(do, **request)

    monkeypatch.setattr("nelf.benchmark.local.WorkerProcess", Told)
    bench(open_subjects([onnx_file, lite_file]), BenchOptions((1,), runs=2), describe=no_measuring)
    assert turns[0] != turns[1] == turns[2] != turns[3]


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_a_system_that_does_not_let_the_peak_begin_anew(
    error: type[OSError], onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(Path, "write_text", refuse)
    worker = Worker(onnx_file, 1, None)
    assert worker.load({})["load_ms"] > 0
    assert worker.memory({}) == {"peak_mb": None}


def test_minutes_go_on_after_the_runs(onnx_file: Path) -> None:
    report = bench(open_subjects([onnx_file]), BenchOptions((1,), runs=1, minutes=0.01), describe=no_measuring)
    assert report.rounds > 1
    assert report.results[0].measurements[0].times.frames == report.rounds


def test_the_worker_knows_a_matrix_product() -> None:
    with WorkerProcess("matrix product", None, 1) as child:
        assert child.ask("matmul", size=64)["gflops"] > 0


def test_profiling_gives_the_same_picture(lite_file: Path) -> None:
    """Profiling runs the file itself: it gets the inputs, reports every frame, and raises for unknown values."""
    model = open_model(lite_file, 1)
    ((name, (shape, dtype)),) = model.signatures[0].items()
    inputs = {name: np.zeros(shape, dtype)}
    assert [one.kind for one in model.profile(inputs, 2)] == [one.kind for one in model.profile(inputs, 3)]
    (first,), (second,) = model.run(inputs).values(), model.run({name: np.ones(shape, dtype)}).values()
    assert np.abs(first - second).max() > 0, "an earlier output is not overwritten"


def test_a_file_that_is_none(tmp_path: Path, onnx_file: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(onnx_file.read_bytes()[:100])
    assert "broken.onnx" in refused_at_once("bench", tmp_path / "broken.onnx")
    with (
        WorkerProcess("broken", tmp_path / "broken.onnx", 1) as child,
        pytest.raises(BenchError, match="broken: load failed"),
    ):
        child.ask("load")


def test_a_process_that_ends(onnx_file: Path) -> None:
    with WorkerProcess("ended", onnx_file, 1) as child:
        child._process.kill()
        child._process.wait()
        with pytest.raises(BenchError, match="ended: its process ended"):
            child.ask("load")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "many"], "--threads many is not a list of numbers"),
        (["--threads", "1,1"], "--threads 1,1 names a number twice"),
        (["--threads", "0"], "give numbers from 1 to"),
        (["--threads", "999"], "this process may use"),
        (["--runs", "0"], "--runs 0 is too few"),
        (["--minutes", "-1"], "--minutes -1 is negative"),
        (["--app", "org.nelf.viewer"], "--app is for a phone; add --device adb"),
        (["--device", "usb"], "--device usb is not known; use adb"),
        (["--device", "adb"], "needs one of --benchmark-model PATH and --app PACKAGE"),
    ],
)
def test_options_that_cannot_be(onnx_file: Path, options: list[str], message: str) -> None:
    assert message in refused_at_once("bench", onnx_file, *options)


def test_bundles_that_are_none(onnx_file: Path, tmp_path: Path) -> None:
    assert "nowhere does not exist" in refused_at_once("bench", tmp_path / "nowhere")
    assert "has no manifest.json" in refused_at_once("bench", tmp_path)
    assert "is given twice" in refused_at_once("bench", onnx_file, onnx_file)


def test_the_command_writes_json_and_tables(onnx_file: Path, tmp_path: Path) -> None:
    outcome = works("bench", onnx_file, "--threads", "1", "--runs", "2", "--json", tmp_path / "bench.json")
    assert "median ms" in outcome.out
    assert "Where a frame goes" in outcome.out
    content = json.loads((tmp_path / "bench.json").read_text())
    assert (content["format"], content["version"]) == ("nelf-bench", "1.1")
    assert content["machine"]["cores"] <= (os.cpu_count() or 1)
    assert content["results"][0]["measurements"][0]["times"]["frames"] == 2


def test_too_many_threads_are_no_options() -> None:
    with pytest.raises(ConfigError, match="give numbers from 1"):
        BenchOptions(())
