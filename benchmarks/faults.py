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
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fault_files import check_whole, leftovers, results, saved_seconds, stage_of
from benchmarks.fault_runs import GIVE_UP, LIVE, STAGES, ended, start, wait

EVERY = 0.3  # seconds between checkpoints
LONGEST = {"teach": 2.0, "distill": 1.5, "train": 2.0, "export": 3.0}  # latest kill, in seconds into a stage
SETTINGS = (
    "experiment=smoke", "device.accelerator=cpu", "device.threads=1", "eval.video_seconds=0", "export.targets=[onnx]",
    "export.precision=fp32", "teacher.num_levels=4",
    "teacher.log2_hashmap_size=12", "teacher.max_steps=150", f"teacher.checkpoint_seconds={EVERY}", "distill.views=250",
    "train.max_steps=150", "train.finetune.max_steps=50", f"train.checkpoint_seconds={EVERY}",
)  # fmt: skip
ROUNDING = 1e-3  # seconds


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
            "checkpoint_seconds_s": EVERY, "kills_measured": self.measured,
            "lost_s_at_most": {k: round(v, 3) for k, v in self.lost.items()},
            "lost_beyond_checkpoint_seconds_and_one_step_s": round(max(self.over, 0.0), 3),
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
