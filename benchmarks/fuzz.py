"""Every reader against broken and hostile files: no traceback, no hang, bounded memory, nothing outside the folder.

python benchmarks/fuzz.py                              20,000 cases over all readers
python benchmarks/fuzz.py --cases 500 tflite images    500 of each of these

A case is a valid scene, checkpoint, bundle or configuration with one file damaged: half of the cases by hypothesis
(edits of JSON, of heads, of arrays), half by a byte mutator. Each reader runs in a process of its own, which may take
2 GB more than it has; a case that crashes it, or computes for more than 5 s, is a finding, and the next case gets a new
process. So is anything but a result or one line of a NelfError, more than 1 GB above the baseline, a file touched
outside of the case's folder, a process started. Folders of findings are kept in runs/fuzz/findings, figures in
runs/fuzz/fuzz.json. Linux only.
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
from pathlib import Path
from typing import Any

HANG = 5.0  # seconds of computing in one case
STANDSTILL = 120.0  # seconds on the clock after which a case that does not compute counts as hung, too
MORE_MEMORY = 2 * 2**30
AT_ONCE = 500  # cases of one process
ROOT = Path(__file__).resolve().parents[1]


def work(name: str, first: int, count: int, folder: Path, keep: Path) -> None:
    """The process that runs cases: a line of JSON at the begin and at the end of each, on standard output."""
    from benchmarks.fuzzing.cases import Outcome, Runner, Watch, limit_memory

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)

    def tell(content: Any) -> None:
        out.write(json.dumps(content) + "\n")
        out.flush()

    def end(outcome: Outcome) -> None:
        tell({"kind": outcome.kind, "what": outcome.what, "peak": outcome.peak})

    runner = Runner(name, folder, keep, Watch())
    limit_memory(MORE_MEMORY)
    runner.run(first, count, lambda: tell("begin"), end)
    tell("done")


def fuzz(name: str, count: int, seed: int, out: Path) -> dict[str, Any]:
    """`count` cases of one reader."""
    kinds: collections.Counter[str] = collections.Counter()
    findings: dict[str, str] = {}
    largest, began, first = 0, time.monotonic(), seed
    with tempfile.TemporaryDirectory(prefix="nelf-fuzz-") as scratch:
        while (done := sum(kinds.values())) < count:
            folder = Path(scratch) / "work"
            (Path(scratch) / "tmp").mkdir(exist_ok=True)
            command = [
                sys.executable,
                __file__,
                "--work",
                name,
                str(first),
                str(min(AT_ONCE, count - done)),
                str(folder),
            ]
            process = subprocess.Popen(
                [*command, str(out / "findings")],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(Path(scratch) / "tmp"), "PYTHONPATH": str(ROOT)},
            )
            ended = "crash"
            for line in lines(process):
                if line is None:
                    ended = "hang"
                elif isinstance(line, dict):
                    kinds[line["kind"]] += 1
                    largest = max(largest, line["peak"])
                    if line["kind"] not in ("read", "refused"):
                        findings.setdefault(f"{line['kind']}: {line['what'][-900:]}", name)
                elif line == "done":
                    ended = ""
            code = process.wait()
            if ended:
                kinds[ended] += 1
                kept = out / "findings" / f"{name}-{first}-{ended}-{sum(kinds.values())}"
                if (folder / "case").exists():
                    shutil.copytree(folder / "case", kept, dirs_exist_ok=True)
                findings[f"{ended}: exit code {code}, {kept}"] = name
            first += 1
    return {
        "cases": sum(kinds.values()),
        **kinds,
        "peak_mb": round(largest / 2**20, 1),
        "seconds": round(time.monotonic() - began, 1),
        "findings": list(findings),
    }


def lines(process: "subprocess.Popen[bytes]") -> Any:
    """What a process says; at a hang it is killed, and the last is None."""
    assert process.stdout is not None
    in_case, since, computed = False, time.monotonic(), 0.0
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        if ready:
            text = process.stdout.readline()
            if not text:
                return
            line = json.loads(text)
            in_case, since, computed = line == "begin", time.monotonic(), computing(process.pid)
            yield line
        elif in_case and (computing(process.pid) - computed > HANG or time.monotonic() - since > STANDSTILL):
            process.kill()
            yield None
            return


def computing(pid: int) -> float:
    """Seconds that a process has computed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        name, first, count, folder, keep = sys.argv[2:]
        work(name, int(first), int(count), Path(folder), Path(keep))
        return
    from benchmarks.fuzzing.readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help=f"which of {', '.join(READERS)}; all otherwise")
    parser.add_argument("--cases", type=int, default=-(-20_000 // len(READERS)), help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    args = parser.parse_args()
    if unknown := set(args.readers) - set(READERS):
        parser.error(f"unknown readers {sorted(unknown)}; use some of {', '.join(READERS)}")
    (args.out / "findings").mkdir(parents=True, exist_ok=True)
    results = {}
    for name in args.readers or READERS:
        results[name] = fuzz(name, args.cases, args.seed, args.out.resolve())
        figures = {key: value for key, value in results[name].items() if key != "findings"}
        print(f"{name:14s} " + "  ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
        for finding in results[name]["findings"]:
            print("    " + finding.replace("\n", "\n    "), flush=True)
        (args.out / "fuzz.json").write_text(json.dumps(results, indent=2) + "\n")
    total, bad = (sum(r["cases"] for r in results.values()), sum(len(r["findings"]) for r in results.values()))
    print(
        f"{total} cases, {bad} different findings, peak {max(r['peak_mb'] for r in results.values())} MB above baseline"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
