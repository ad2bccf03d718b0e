"""Kill a run again and again, fill its disk, forbid its folders: nothing may be lost.

python benchmarks/faults.py                 at least 32 kills (`kill -9`), then disks that fill up
python benchmarks/faults.py --kills 4       of each stage; --seed 1 for other moments

Makes a tiny scene, and lets `nelf run` finish it undisturbed. Then kills the same command at random moments, at least
`--kills` times in each of teach, distill, train and export, and repeats it each time. When a run is finished, the next
one starts. After each kill every file that is not hidden must be complete. Each finished run must have the same bytes
as the undisturbed one, and no temporary files. The lost training time must not exceed the interval between checkpoints
plus one step. No view and no bundle may be made twice.

Disks: a tmpfs of several sizes in its own mount namespace (`unshare`, without root). `nelf run` must end with one line
and exit code 2 until there is room, and then give the same bytes. Read-only: the tmpfs remounted.

Commands run in processes forked from one that has only imported nelf: a start takes a second instead of ten. They use
one thread and budgets by steps, or no two runs would be equal. Figures: runs/faults/faults.json.
"""

import argparse
import contextlib
import io
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

EVERY = 0.3  # seconds between checkpoints
STAGES = ("teach", "distill", "train", "export")
FOLDERS = {"teach": "teacher", "distill": "pseudo", "train": "student"}
LONGEST = {"teach": 2.0, "distill": 1.5, "train": 2.0, "export": 3.0}  # latest kill, in seconds into a stage
SETTINGS = (
    "experiment=smoke", "device.accelerator=cpu", "device.threads=1", "eval.video_seconds=0", "export.targets=[onnx]",
    "export.precision=fp32", "teacher.levels=4",
    "teacher.log2_entries=12", "teacher.iterations=150", f"teacher.checkpoint_seconds={EVERY}", "distill.views=250",
    "train.steps=150", "train.finetune.steps=50", f"train.checkpoint_every={EVERY}",
)  # fmt: skip
ROUNDING = 1e-3  # seconds
GIVE_UP = 900.0  # seconds for one attempt


class Live:
    """Progress of a process, readable after its end: stage, seconds of training, longest time between two reports."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 32)  # shared with forked processes

    def clear(self) -> None:
        self._memory[:32] = bytes(32)

    def report(self, stage: int, seconds: float) -> None:
        before, last, longest = struct.unpack("ddd", self._memory[:24])
        gap = seconds - last if before == stage and last else 0.0
        self._memory[:24] = struct.pack("ddd", stage, seconds, max(longest, gap))

    @property
    def reached(self) -> tuple[str | None, float, float]:
        stage, seconds, longest = struct.unpack("ddd", self._memory[:24])
        return ((None, *STAGES)[int(stage)], seconds, longest)


LIVE = Live()


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Report the current stage and its training time to LIVE."""
    import nelf.distill.render  # noqa: F401
    from nelf.pipeline import export_stage
    from nelf.teacher.training import Trainer
    from nelf.train.loop import PhaseRunner

    advance, step = Trainer.advance, PhaseRunner._step

    def advanced(trainer: Trainer) -> None:
        advance(trainer)
        LIVE.report(1, trainer.seconds)

    def stepped(runner: PhaseRunner, *arguments: Any) -> None:
        LIVE.report(3, runner.course.seconds_before + runner.course.seconds)
        step(runner, *arguments)

    render_view, export_bundle = sys.modules["nelf.distill.render"].render_view, export_stage.exporting.export_bundle

    def rendered(*arguments: Any) -> Any:
        LIVE.report(2, 0.0)
        return render_view(*arguments)

    def exported(*arguments: Any) -> Any:
        LIVE.report(4, 0.0)
        return export_bundle(*arguments)

    with (
        mock.patch.object(Trainer, "advance", advanced),
        mock.patch.object(PhaseRunner, "_step", stepped),
        mock.patch.object(sys.modules["nelf.distill.render"], "render_view", rendered),
        mock.patch.object(export_stage.exporting, "export_bundle", exported),
    ):
        yield


def start(arguments: list[str], said: Path) -> int:
    """Start `nelf ARGUMENTS` in a forked process, with its output in the file `said`. Returns its process id."""
    LIVE.clear()
    pid = os.fork()
    if pid:
        return pid
    status = 70  # not the end of a command
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(i, "wb", 0), write_through=True) for i in (1, 2))
        from nelf.cli import main as cli

        cli.console.file = sys.stderr
        sys.argv = ["nelf", *arguments]
        with reporting():
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
    finally:
        os._exit(status)


def ended(pid: int) -> int | None:
    """Exit status, negative for signals; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait(pid: int, seconds: float = GIVE_UP) -> int:
    """Exit status of a process that may take some time."""
    until = time.monotonic() + seconds
    while (status := ended(pid)) is None:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise SystemExit(f"process {pid} hung")
        time.sleep(0.01)
    return status


def stage_of(run: Path) -> str | None:
    """The stage that a run's files have reached; None beyond the last one."""
    for stage, folder in FOLDERS.items():
        try:
            if "outputs" not in json.loads((run / folder / "stage.json").read_text()):
                return stage
        except FileNotFoundError:
            return stage
    return None if (run / "eval").exists() else "export"


def check_whole(run: Path) -> int:
    """Read every file of `run` that is not hidden; return their number. TensorBoard's logs grow line by line."""
    import numpy as np
    import torch
    import yaml
    from PIL import Image
    from safetensors import safe_open

    from nelf.export import open_bundle

    count = 0
    for path in sorted(run.rglob("*")):
        inside = path.relative_to(run)
        if path.is_dir() or any(part.startswith(".") for part in inside.parts) or "tfevents" in path.name:
            continue
        count += 1
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            with Image.open(path) as image:
                np.asarray(image)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                _ = [stream.get_tensor(key) for key in stream.keys()]  # noqa: SIM118
        elif path.suffix == ".yaml":
            yaml.safe_load(path.read_text())
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        else:
            assert inside.parts[0] == "export", f"{path}: who reads this?"
    for bundle in (run / "export").glob("*"):
        if not bundle.name.startswith("."):
            open_bundle(bundle)  # every byte against the manifest's SHA-256
    return count


def saved_seconds(run: Path, stage: str) -> float:
    """Seconds of training in the newest checkpoint."""
    from nelf.core.checkpoints import CheckpointFolder

    found = CheckpointFolder(run / FOLDERS[stage] / "checkpoints").latest()
    if found is None:
        return 0.0
    state = found[1]
    if stage == "teach":
        return float(state["seconds"])
    return float(state["course"]["seconds_before"] + state["course"]["seconds"])


def results(run: Path) -> dict[str, str]:
    """SHA-256 of the outputs of a finished run."""
    from nelf.core.files import sha256

    names = (
        "teacher/teacher.safetensors", "pseudo/images", "pseudo/depths", "pseudo/transforms.json",
        "student/student.safetensors", "export/onnx/model.onnx",
    )  # fmt: skip
    return {name: sha256(run / name) for name in names}


def leftovers(run: Path) -> list[str]:
    return [str(path) for path in run.rglob(".*") if ".partial" in path.name or ".old-" in path.name]


class Kills:
    """Kills runs until each stage has had its share."""

    def __init__(self, folder: Path, wanted: int, seed: int, expected: dict[str, str]) -> None:
        self.folder, self.wanted, self.expected = folder, wanted, expected
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.files = self.rounds = 0
        self.lost = {"teach": 0.0, "train": 0.0}
        self.over = 0.0
        self.temporaries = self.measured = 0

    def target(self) -> str | None:
        return next((stage for stage in STAGES if self.kills[stage] < self.wanted), None)

    def run(self) -> None:
        while self.target() is not None:
            self.rounds += 1
            self.round(self.folder / f"round-{self.rounds}")

    def round(self, runs: Path) -> None:
        run, there = runs / "ball", dict[Path, int]()
        while True:
            pid = start(["run", str(self.folder / "ball"), f"runs={runs}", *SETTINGS], self.folder / "said.txt")
            status = self.disturb(pid, run)
            if status == 0:
                break
            if status != -signal.SIGKILL:
                raise SystemExit(f"exit status {status}: {(self.folder / 'said.txt').read_text()}")
            self.files += check_whole(run)
            self.temporaries += len(leftovers(run))
            made_again = [path for path, when in there.items() if path.stat().st_mtime_ns != when]
            assert not made_again, f"made a second time: {made_again}"
            there = {path: path.stat().st_mtime_ns for path in run.glob("pseudo/images/[!.]*.png")}
            there |= {path: path.stat().st_mtime_ns for path in run.glob("export/[!.]*/manifest.json")}
        assert leftovers(run) == [], leftovers(run)
        assert results(run) == self.expected, f"{run} is not what the undisturbed run gave"
        shutil.rmtree(runs)

    def disturb(self, pid: int, run: Path) -> int:
        """Kill the process during the run's current stage, if that still needs kills."""
        before = stage_of(run)
        stage = before if before and self.kills[before] < self.wanted else self.next_after(before)
        if stage is None:
            return wait(pid)
        until = time.monotonic() + GIVE_UP
        while LIVE.reached[0] != stage:  # working on it, not just on the way there
            if (status := ended(pid)) is not None:
                return status
            if time.monotonic() > until:
                return wait(pid, 0.0)
            time.sleep(0.002)
        time.sleep(self.random.uniform(0, LONGEST[stage]))
        if (status := ended(pid)) is not None:
            return status
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == -signal.SIGKILL:
            self.note(run)
        return status

    def next_after(self, stage: str | None) -> str | None:
        later = STAGES[STAGES.index(stage) :] if stage in STAGES else ()
        return next((one for one in later if self.kills[one] < self.wanted), None)

    def note(self, run: Path) -> None:
        stage, seconds, longest = LIVE.reached
        assert stage is not None
        if stage_of(run) != stage:  # between this stage's last file and the next stage's first step
            self.kills["between stages"] += 1
            return
        self.kills[stage] += 1
        if stage in self.lost:
            self.measured += 1
            lost = seconds - saved_seconds(run, stage)
            self.lost[stage] = max(self.lost[stage], lost)
            self.over = max(self.over, lost - EVERY - longest)
            assert self.over <= ROUNDING, f"{stage}: {lost:.3f} s lost, {EVERY} s and a step of {longest:.3f} s may be"
            print(f"lost {lost:.3f} s, longest step {longest:.3f} s", flush=True)
        print(f"kill {sum(self.kills.values())}: {stage}", flush=True)

    def figures(self) -> dict[str, Any]:
        return {
            "kills": sum(self.kills.values()), "by_stage": dict(self.kills), "finished_runs": self.rounds,
            "bit_identical_runs": self.rounds, "whole_files_read": self.files, "temporaries_met": self.temporaries,
            "checkpoint_every_s": EVERY, "kills_measured": self.measured,
            "lost_s_at_most": {k: round(v, 3) for k, v in self.lost.items()},
            "lost_beyond_checkpoint_every_and_one_step_s": round(max(self.over, 0.0), 3),
            "views_or_bundles_made_again": 0,  # anything else ends the benchmark
        }  # fmt: skip


def disks(folder: Path, expected: dict[str, str]) -> dict[str, Any]:
    """In a mount namespace: a disk that is read-only, then too small, then larger, until the run is finished."""
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "none", str(disk)], check=True)
    command = ["run", str(folder / "ball"), f"runs={disk}", *SETTINGS]
    refusals, size = [], 256
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refusals.append(refusal("read-only", start(command, folder / "said.txt"), folder / "said.txt"))
    while True:
        subprocess.run(["mount", "-o", f"remount,rw,size={size}k", str(disk)], check=True)
        pid = start(command, folder / "said.txt")
        status = wait(pid)
        if status == 0:
            break
        check_whole(disk / "ball")
        refusals.append(refusal(f"{size} kB", status, folder / "said.txt"))
        size = int(size * 1.5)
    assert leftovers(disk / "ball") == []
    assert results(disk / "ball") == expected
    return {"refusals": refusals, "finished_with_kb": size, "bit_identical": True}


def refusal(disk: str, ended_with: int, said: Path) -> dict[str, str]:
    """The one line of a command that failed. ended_with: exit status, or the id of a running process."""
    status = ended_with if ended_with in (0, 2, 70) or ended_with < 0 else wait(ended_with)
    text = said.read_text()
    assert status == 2, f"{disk}: exit status {status}: {text}"
    assert "Traceback" not in text, text
    line = text.splitlines()[-1]
    assert line.startswith("nelf: "), text
    return {"disk": disk, "line": line}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=8, help="of each stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/faults"))
    parser.add_argument("--disks", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    # Imported before any process is forked.
    import nelf.cli.main
    import nelf.export.onnx
    import nelf.pipeline  # noqa: F401
    from nelf.core.files import write_json
    from tests.scenes import make_blender_scene

    folder = options.out.resolve()
    if options.disks:
        expected = json.loads((folder / "expected.json").read_text())
        write_json(folder / "disks.json", disks(folder, expected))
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_blender_scene(folder / "ball", size=16)
    whole = start(["run", str(folder / "ball"), f"runs={folder / 'whole'}", *SETTINGS], folder / "said.txt")
    if wait(whole):
        raise SystemExit((folder / "said.txt").read_text())
    expected = results(folder / "whole" / "ball")
    write_json(folder / "expected.json", expected)
    kills = Kills(folder, options.kills, options.seed, expected)
    kills.run()
    figures: dict[str, Any] = {"seed": options.seed, "kill": kills.figures()}
    write_json(folder / "faults.json", figures)
    again = [sys.executable, __file__, "--disks", "--out", str(folder)]
    if subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode == 0:
        subprocess.run(["unshare", "-Urm", *again], check=True)
        figures["disks"] = json.loads((folder / "disks.json").read_text())
    else:
        figures["disks"] = "not run: no mount namespaces here"
    write_json(folder / "faults.json", figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
