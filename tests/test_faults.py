"""Faults of machines: kills, full disks, refusals, clock jumps. Real kills of whole runs: benchmarks/faults.py."""

import ast
import errno
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from PIL import Image

from nelf.core.errors import NelfError
from nelf.core.files import remove_leftovers, system_error
from nelf.distill.workers import _problem
from tests.pipeline.commands import refused
from tests.scenes import make_blender_scene
from tests.teacher import tiny

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("status", "words"), [(-signal.SIGKILL, "killed, most likely by the system"), (-signal.SIGSEGV, "died of SIGSEGV")]
)
def test_a_worker_that_is_killed(status: int, words: str) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.close()
    found = _problem(receiver, status)
    assert isinstance(found, NelfError)
    assert words in str(found)
    assert "the same command goes on from there" in str(found)
    assert "\n" not in str(found)


@pytest.mark.slow
def test_workers_end_with_their_parent() -> None:
    """`kill -9` of the process in the middle: the last one ends by itself."""
    child = "import time; from nelf.core.processes import *; end_with_parent(); print(1, flush=True); time.sleep(60)"
    middle = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = subprocess.Popen([sys.executable, "-c", middle], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert started.stdout is not None
    assert started.stdout.readline() == "1\n"
    started.kill()
    began = time.monotonic()
    assert started.stdout.read() == ""  # its end is open for as long as the last one lives
    assert time.monotonic() - began < 30
    started.stdout.close()
    started.wait()


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    kept = [tmp_path / "teacher" / "teacher.safetensors", tmp_path / ".lock", tmp_path / "export" / "a.partial"]
    gone = [tmp_path / "teacher" / ".teacher.partial-7.safetensors", tmp_path / "export" / ".ios.partial-7" / "model"]
    gone += [
        tmp_path / "export" / ".onnx.old-7" / "model",
        tmp_path / "export" / ".elsewhere" / ".stage.partial-7.json",
    ]
    kept += [tmp_path / "export" / "onnx" / "model"]
    put_back = tmp_path / "export" / ".ios.old-7" / "model"  # killed between two renames
    for path in (*kept, *gone, put_back):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    remove_leftovers(tmp_path)
    kept += [tmp_path / "export" / "ios" / "model"]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you\nasked for 9 bytes"),
            "9 bytes",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "2 GiB"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.bin"),
            "refuses a.bin: No space left on device; free some",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a.bin"), "refuses a.bin: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: Exception, words: str) -> None:
    found = system_error(error)
    assert found is not None
    assert words in str(found)
    assert "\n" not in str(found)
    assert found.exit_code == 2


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), FileNotFoundError(errno.ENOENT, "no"), ValueError()])
def test_our_own_mistakes_keep_their_traceback(error: Exception) -> None:
    assert system_error(error) is None


@pytest.mark.parametrize("error", [MemoryError("9 bytes"), PermissionError(errno.EACCES, "Permission denied", "x")])
def test_a_command_says_so(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf.pipeline import stages

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(stages, "teach", fail)
    line = refused("teach", make_blender_scene(tmp_path / "ball", size=16), f"runs={tmp_path / 'runs'}")
    assert "out of memory (9 bytes)" in line or "the system refuses x: Permission denied" in line


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: permissions do not stop root, as whom tests may run."""
    scene, opened = make_blender_scene(tmp_path / "ball", size=16), Image.open

    def refusing(file: object, *options: object) -> Image.Image:
        if Path(getattr(file, "name", str(file))).name == "r_1.png":
            raise PermissionError(errno.EACCES, "Permission denied", "r_1.png")
        return opened(file, *options)

    monkeypatch.setattr(Image, "open", refusing)
    line = refused("teach", scene, "experiment=smoke", f"runs={tmp_path / 'runs'}")
    assert "r_1.png: permission denied" in line


def test_time_is_measured_by_clocks_that_do_not_jump() -> None:
    """Wall clocks may jump: they only name and date TensorBoard's files, and date certificates."""
    jumping = ("time.time", "time.time_ns", "datetime.now", "datetime.datetime.now")
    found = set()
    for path in (ROOT / "nelf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in jumping:
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"nelf/train/log.py", "nelf/viewer/phone.py"}


@pytest.mark.slow
def test_a_teacher_survives_a_bad_spell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN losses are skipped, then training goes back to the last good weights with half the rate."""
    from nelf.core.optimization import BAD_STEPS
    from nelf.teacher import training

    loss, calls = training._loss, []

    def spoilt(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        return loss(*arguments) * (float("nan") if 5 <= len(calls) < 5 + BAD_STEPS else 1.0)

    said: list[str] = []
    monkeypatch.setattr(training, "_loss", spoilt)
    monkeypatch.setattr("lightning_fabric.Fabric.print", lambda self, *text: said.append(str(text[0])))
    field = tiny.train("object", tiny.instant_ngp(max_steps=30), tmp_path)
    assert all(bool(value.isfinite().all()) for value in field.state_dict().values())
    assert len(said) == 1
    assert said[0].startswith(f"no finite gradient in the last {BAD_STEPS} steps: back to the last good weights")
    assert said[0].endswith("learning rate x 0.5")


@pytest.mark.slow
def test_infinite_gradients_of_a_finite_loss_spoil_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even until the next loss shows them: a checkpoint may be written in between."""
    from nelf.teacher import training

    advance, spoilt = training.Trainer.advance, []

    def advanced(trainer: training.Trainer) -> None:
        weights = [*trainer.field.parameters()][-1]
        handle = weights.register_hook(lambda grad: grad * (float("inf") if trainer.step in (7, 8) else 1.0))
        advance(trainer)
        handle.remove()
        spoilt.append(not all(bool(p.isfinite().all()) for p in trainer.field.parameters()))

    monkeypatch.setattr(training.Trainer, "advance", advanced)
    tiny.train("object", tiny.instant_ngp(max_steps=12), tmp_path)
    assert spoilt == 12 * [False]


@pytest.mark.slow
def test_nothing_is_saved_within_a_bad_spell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf.core.checkpoints import CheckpointFolder
    from nelf.teacher import training

    loss, save, calls, saved = training._loss, CheckpointFolder.save, [], []

    def spoilt(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        return loss(*arguments) * (float("nan") if len(calls) in (5, 6) else 1.0)

    def noted(folder: CheckpointFolder, step: int, state: object) -> None:
        saved.append(step)
        save(folder, step, state)

    monkeypatch.setattr(training, "_loss", spoilt)
    monkeypatch.setattr(CheckpointFolder, "save", noted)
    tiny.train("object", tiny.instant_ngp(max_steps=9, checkpoint_seconds=1e-9), tmp_path)
    assert saved == [1, 2, 3, 4, 7, 8, 9]


def test_a_teacher_leaves_the_scale_of_gradients_to_the_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers train in float32 whatever device.precision says, so there is nothing to scale."""
    from nelf.teacher import training
    from nelf.teacher.stage import build_field, space_of

    class Scaled(MixedPrecision):
        def __init__(self) -> None:
            super().__init__("bf16-mixed", "cpu")
            self.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)

    scene, config = tiny.scene("object"), tiny.instant_ngp(max_steps=4)

    precision = Scaled()
    field = build_field(config, space_of(scene), opaque=False)
    trainer = training.Trainer(field, scene.train, config, Fabric(accelerator="cpu", plugins=precision))
    before = [p.clone() for p in trainer.field.parameters()]
    trainer.advance()
    assert not all(torch.equal(one, p) for one, p in zip(before, trainer.field.parameters(), strict=True))
    monkeypatch.setattr(training, "_loss", lambda out, *others: out.sum() * float("nan"))
    trainer.advance()
    assert precision.scaler.get_scale() == 64.0
    assert all(bool(p.isfinite().all()) for p in trainer.field.parameters())


@pytest.mark.slow
def test_a_teacher_that_diverges_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf.teacher import training

    monkeypatch.setattr(training, "_loss", lambda out, *others: out.sum() * float("nan"))
    with pytest.raises(NelfError, match=r"training diverges.*teacher\.lr=0\.01 may be too high"):
        tiny.train("object", tiny.instant_ngp(max_steps=200, max_rays_per_step=32), tmp_path)
