"""Feed every reader broken and hostile files: no traceback, no hang, bounded memory, nothing outside the folder.

python benchmarks/fuzz.py                              20,000 cases over all readers
python benchmarks/fuzz.py --cases 500 tflite images    500 of each of these

A case is a valid scene, checkpoint, bundle or configuration with one damaged file. Hypothesis makes half of a reader's
cases (edits of JSON, headers, arrays, fields), a byte mutator the other half. ONNX files and Core ML packages use only
the mutator, overrides only hypothesis. Cases run in their own process, which may use 2 GB more than at its start. If a
case crashes it or computes for more than 5 s, that is a finding, and the next case gets a new process. Other findings:
anything but a result or a one-line NelfError, more than 1 GB above the baseline, a file touched outside the case's
folder, a process started. Folders of findings are kept in runs/fuzz/findings, figures in runs/fuzz/fuzz.json.
Linux only.
"""

import argparse
import collections
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANG = 5.0  # seconds of computing in one case
STANDSTILL = 120.0  # seconds of wall time after which an idle case counts as hung too
MORE_MEMORY = 2 * 2**30
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Tally:
    """Outcomes of one reader's cases."""

    wanted: int
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    findings: dict[str, None] = field(default_factory=dict)
    peak: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        return self.wanted - sum(self.kinds.values())

    def add(self, kind: str, what: str, peak: int = 0) -> None:
        self.kinds[kind] += 1
        self.peak = max(self.peak, peak)
        if kind not in ("read", "refused"):
            self.findings[f"{kind}: {what[-900:]}"] = None

    def figures(self) -> dict[str, Any]:
        cases, megabytes = sum(self.kinds.values()), round(self.peak / 2**20, 1)
        return {"cases": cases, **self.kinds, "peak_mb": megabytes, "seconds": round(self.seconds, 1)}


def work(plan: dict[str, int], seed: int, folder: Path, keep: Path) -> None:
    """The process that runs cases: prints a line of JSON at the start and at the end of each."""
    from benchmarks.fuzzing.cases import Outcome, Runner, Watch, limit_memory

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def report_line(*content: Any) -> None:
        out.write(json.dumps(content) + "\n")
        out.flush()

    def end(outcome: Outcome) -> None:
        report_line("end", outcome.kind, outcome.what, outcome.peak)

    watch, errors = Watch(), os.dup(2)
    for name, count in plan.items():
        os.dup2(errors, 2)
        runner = Runner(name, folder / name, keep, watch)
        os.dup2(1, 2)  # messages of libraries do not matter
        report_line("reader", name)
        limit_memory(MORE_MEMORY)
        try:
            runner.run(seed, count, lambda: report_line("begin"), end)
        except BaseException:
            os.dup2(errors, 2)  # ours, not a case's
            raise
        report_line("done")


def fuzz(
    names: Sequence[str], count: int, seed: int, out: Path, report: Callable[[str, Tally], None]
) -> dict[str, Tally]:
    """Run `count` cases of each reader, in one process as long as it lives."""
    tallies, done = {name: Tally(count) for name in names}, set[str]()
    with tempfile.TemporaryDirectory(prefix="nelf-fuzz-") as scratch:
        (Path(scratch) / "tmp").mkdir()
        while plan := {name: tally.left for name, tally in tallies.items() if name not in done}:
            folder = Path(scratch) / "work"
            process = subprocess.Popen(
                [sys.executable, __file__, "--work", json.dumps(plan), str(seed), str(folder), str(out / "findings")],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(Path(scratch) / "tmp"), "PYTHONPATH": str(ROOT)},
            )
            name, began, started = "", time.monotonic(), False
            for event, *rest in lines(process):
                if event == "reader":
                    name, began = rest[0], time.monotonic()
                elif event == "begin":
                    started = True
                elif event == "end":
                    tallies[name].add(*rest)
                elif event == "done":
                    tallies[name].seconds += time.monotonic() - began
                    done.add(name)
                    report(name, tallies[name])
                elif event == "hang":
                    process.kill()
            if code := process.wait():
                if not started:
                    sys.exit(f"fuzz: no case of {name or 'the first reader'} could be started")
                if code == 1:
                    sys.exit(f"fuzz: the process itself failed in {name}, not a case: run it with --seed {seed}")
                kind = "hang" if code == -9 else "crash"
                kept = out / "findings" / f"{name}-{seed}-{kind}"
                shutil.copytree(folder / name / "case", kept, dirs_exist_ok=True)
                tallies[name].add(kind, f"exit code {code}, {kept}")
                if tallies[name].left <= 0:
                    done.add(name)
                    report(name, tallies[name])
            seed += 1
    return tallies


def lines(process: "subprocess.Popen[bytes]") -> Iterator[list[Any]]:
    """What a process reports, and ["hang"] if a case takes too long."""
    assert process.stdout is not None
    in_case, since, computed = False, time.monotonic(), 0.0
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        if ready:
            text = process.stdout.readline()
            if not text:
                return
            line = json.loads(text)
            in_case, since, computed = line[0] == "begin", time.monotonic(), computing(process.pid)
            yield line
        elif in_case and (computing(process.pid) - computed > HANG or time.monotonic() - since > STANDSTILL):
            in_case = False
            yield ["hang"]


def computing(pid: int) -> float:
    """CPU seconds of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        plan, seed, folder, keep = sys.argv[2:]
        work(json.loads(plan), int(seed), Path(folder), Path(keep))
        return
    from benchmarks.fuzzing.readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help=f"which of {', '.join(READERS)}; by default all")
    parser.add_argument("--cases", type=int, default=-(-20_000 // len(READERS)), help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    args = parser.parse_intermixed_args()
    if unknown := set(args.readers) - set(READERS):
        parser.error(f"unknown readers {sorted(unknown)}; use some of {', '.join(READERS)}")
    out = args.out.resolve()
    (out / "findings").mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}

    def report(name: str, tally: Tally) -> None:
        results[name] = tally.figures() | {"findings": list(tally.findings)}
        print(f"{name:14s} " + "  ".join(f"{key} {value}" for key, value in tally.figures().items()), flush=True)
        for finding in tally.findings:
            print("    " + finding.replace("\n", "\n    "), flush=True)
        (out / "fuzz.json").write_text(json.dumps(results, indent=2) + "\n")

    tallies = fuzz(args.readers or list(READERS), args.cases, args.seed, out, report).values()
    total, bad = sum(sum(t.kinds.values()) for t in tallies), sum(len(t.findings) for t in tallies)
    print(f"{total} cases, {bad} different findings, peak {max(t.peak for t in tallies) / 2**20:.0f} MB above baseline")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
