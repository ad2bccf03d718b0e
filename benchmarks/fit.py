"""Measure `nelf fit` on a run with pseudo views: its prediction, the student at half of m's time, and pruning.

    PYTHONPATH=. python benchmarks/fit.py runs/lego_200 --out runs/fit-study --part predict --part half --part prune
    PYTHONPATH=. python benchmarks/fit.py runs/lego_200 --out runs/fit-study --part predict --device chromium

predict: predicted against measured time of ten networks that are not in the table. half: for each seed, the student
that a search of `--minutes` finds for half of m's time, against m with its widths scaled by hand to that time, both
trained for `--train` minutes in turns. prune: for each seed, m trained for `--train` minutes and pruned by 20, 40 and
60 % of its multiply-adds with `--tune` minutes of training between the rounds, against networks of the same sizes that
are trained from the start for all these minutes.

PSNR is measured once, at the end, on the test views; times in LiteRT with two threads, in turns. The search of half is
kept in RUN/fit, all else in `--out`, which holds one choice of sizes. If interrupted, it goes on where it stopped.
`--out` gets results.json and the printed tables.
"""

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.student import STUDENT, TUNING, Arm, mean_psnr, time_litert
from nelf.core.errors import ConfigError, Interrupted
from nelf.core.files import write_json
from nelf.core.progress import Stop, stoppable
from nelf.fit import Bench, Budget, Device, LatencyModel, LatencyTable, make_table, subject_of
from nelf.fit.devices import export_workers, open_device
from nelf.fit.space import Unit
from nelf.pipeline import Run
from nelf.pipeline.fit_stage import Fitting, Plan, look_for
from nelf.student import Student, StudentConfig, load_student, save_student
from nelf.student.prune import ROUNDS, prune_in_rounds

THREADS = 2
REPEATS = 100
WIDTHS = ("width", "middle_width", "cell_features", "decoder_width")
SHARES = [0.2, 0.4, 0.6]
SIZES = ("minutes", "train", "tune", "shares")
NO_PHOTOS = "train.finetune.enabled=false"


def device_of(name: str) -> Device:
    return open_device(name, THREADS if name == "host" else None, None, None, lambda urls, text: print(*urls, text))


def table_of(run: Run, name: str, out: Path, stop: Stop) -> tuple[Bench, LatencyTable]:
    """The device's table, measured once, and what times single networks next to it."""
    fitting = Fitting(run, stop, "fp32")
    subject = subject_of(fitting.space, "fp32")
    bench = Bench(fitting.space, subject, device_of(name), fitting.export, out / "bundles", stop, export_workers())
    return bench, make_table(out / f"table-{name}.json", bench)


def predict(table: LatencyTable) -> dict[str, Any]:
    model = LatencyModel(table.networks)
    print(f"{table.device}: {model.describe()}")
    errors = model.errors()
    return {
        "device": str(table.device),
        "median": statistics.median(errors),
        "largest": max(errors),
        "errors": errors,
        "milliseconds": [one.milliseconds for one in model.checks],
        "costs": model.costs,
    }


def scaled(config: StudentConfig, cost: Callable[[StudentConfig], float], limit: float) -> StudentConfig:
    """The network with all its widths times the largest factor that keeps the limit, in multiples of four."""
    for percent in range(100, 0, -1):
        widths = {name: max(4, round(getattr(config, name) * percent / 400) * 4) for name in WIDTHS}
        smaller = dataclasses.replace(config, **dict[str, Any](widths))
        if cost(smaller) <= limit:
            return smaller
    raise ConfigError(f"no scaled network costs {limit:.3g}")


def arm(folder: Path, name: str, out: Path, config: StudentConfig, seed: int, minutes: float, *extra: str) -> Arm:
    """A training of `minutes`, the last `TUNING` of them on the photos unless `extra` forbids it."""
    run = Run.open(folder, ["student=m", f"train.seed={seed}", *extra])
    run.config.student = config
    tune = run.config.train.finetune
    tuning = TUNING * minutes if tune.enabled else 0.0
    run.config.train = dataclasses.replace(
        run.config.train,
        max_steps=None,
        max_minutes=minutes - tuning,
        finetune=dataclasses.replace(tune, max_steps=None, max_minutes=tuning) if tune.enabled else tune,
    )
    return Arm(name, run, out / name)


def trained(arms: list[Arm], slice_seconds: float, stop: Stop) -> list[Student]:
    """Train all arms in turns."""
    while waiting := [one for one in arms if not one.finished]:
        for one in waiting:
            if stop.requested:
                raise Interrupted("stopped; the same command goes on from there")
            one.train(slice_seconds)
    return [load_student(one.folder / STUDENT) for one in arms]


def figures(names: list[str], models: list[Student], run: Run, out: Path) -> list[dict[str, Any]]:
    times = time_litert(dict(zip(names, models, strict=True)), out, REPEATS)
    return [
        {"name": name, "test_psnr": mean_psnr(model, run.scene.test), "ms": times[name][0], "bytes": times[name][1]}
        for name, model in zip(names, models, strict=True)
    ]


def half(folder: Path, seed: int, out: Path, options: argparse.Namespace, stop: Stop) -> dict[str, Any]:
    """The student found for half of m's time, and m scaled by hand."""
    run = Run.open(folder, ["student=m"])
    bench, table = table_of(run, "host", out, stop)
    model = LatencyModel(table.networks)
    kept = out / f"half-{seed}.json"  # measured again, m's time and so the limit would differ
    if not kept.is_file():
        whole = bench.milliseconds(run.config.student, table)
        write_json(kept, {"m_ms": whole, "limit_ms": round(whole / 2, 3)})
    found_times = json.loads(kept.read_text())
    whole, limit = found_times["m_ms"], found_times["limit_ms"]
    plan = Plan(
        Budget(limit, Unit.MILLISECONDS), bench.device, out / "table-host.json",
        options.minutes, f"half-{seed}", "fp32", seed,
    )  # fmt: skip
    found = look_for(run, plan, False, stop, print)

    def cost(config: StudentConfig) -> float:
        return model.predict(bench.space.count(config))

    by_hand = scaled(Run.open(folder, ["student=m"]).config.student, cost, limit)
    place = out / f"seed-{seed}"
    arms = [
        arm(folder, "fitted", place, found.config, seed, options.train),
        arm(folder, "scaled", place, by_hand, seed, options.train),
    ]
    rows = figures(["fitted", "scaled"], trained(arms, options.slice, stop), run, place)
    gain = rows[0]["test_psnr"] - rows[1]["test_psnr"]
    return {"seed": seed, "m_ms": whole, "limit_ms": limit, "gain": gain, "rows": rows}


def prune(folder: Path, seed: int, out: Path, options: argparse.Namespace, stop: Stop) -> dict[str, Any]:
    """m pruned, and networks of the same sizes from the start, for the same minutes."""
    run = Run.open(folder, ["student=m", f"train.seed={seed}", NO_PHOTOS])
    fitting = Fitting(run, stop, "fp32")
    place = out / f"prune-{seed}"
    config = run.config.student
    (start,) = trained([arm(folder, "start", place, config, seed, options.train, NO_PHOTOS)], options.slice, stop)

    def cost(one: StudentConfig) -> float:
        return float(fitting.space.count(one).macs)

    names, models, arms = list[str](), list[Student](), list[Arm]()
    minutes = options.train + options.tune
    arms.append(arm(folder, "0", place, config, seed, minutes, NO_PHOTOS))
    for share in options.shares:
        name = f"{100 * share:.0f}"
        pruned = prune_in_rounds(
            start, cost, (1 - share) * cost(config), fitting.losses,
            lambda student, kept, _: fitting.trained(student, kept, options.tune / ROUNDS),
            place / f"{name}-rounds", {"share": share, "tune": options.tune}, print,
        )  # fmt: skip
        save_student(place / f"{name}-pruned" / STUDENT, pruned)
        names.append(f"{name}-pruned")
        models.append(pruned)
        arms.append(arm(folder, f"{name}-scratch", place, pruned.config, seed, minutes, NO_PHOTOS))
    models += trained(arms, options.slice, stop)
    names += [one.name for one in arms]
    rows = figures(names, models, run, place)
    for row, model in zip(rows, models, strict=True):
        row["macs"] = cost(model.config)
    return {"seed": seed, "rows": rows}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}\n| network | test PSNR | ms | MB |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['name']} | {row['test_psnr']:.2f} | {row['ms']:.2f} | {row['bytes'] / 1e6:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with pseudo views")
    parser.add_argument("--part", action="append", required=True, choices=("predict", "half", "prune"))
    parser.add_argument("--device", default="host", choices=("host", "chromium"), help="of the part predict")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--minutes", type=float, default=60.0, help="of each search")
    parser.add_argument("--train", type=float, default=20.0, help="minutes of each training")
    parser.add_argument("--tune", type=float, default=8.0, help="minutes between the rounds of pruning, in all")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of multiply-adds to prune")
    parser.add_argument("--slice", type=float, default=60.0, help="seconds of each turn")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)

    sizes = {"run": str(options.run), **{name: getattr(options, name) for name in SIZES}}
    kept = options.out / "sizes.json"
    if kept.is_file() and set(options.part) != {"predict"} and (before := json.loads(kept.read_text())) != sizes:
        parser.error(f"--out {options.out} holds trainings of other sizes, {before}; give another folder")
    if set(options.part) != {"predict"}:
        write_json(kept, sizes)
    path = options.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    with stoppable() as stop:
        if "predict" in options.part:
            run = Run.open(options.run, ["student=m"])
            results[f"predict {options.device}"] = predict(table_of(run, options.device, options.out, stop)[1])
            write_json(path, results)
        for part, measure in (("half", half), ("prune", prune)):
            for seed in options.seeds if part in options.part else []:
                name = f"{part} {seed}"
                if name not in results:
                    results[name] = measure(options.run, seed, options.out, options, stop)
                    write_json(path, results)
                show(name, results[name]["rows"])


if __name__ == "__main__":
    main()
