"""The rows of docs/results.md, from finished runs.

python benchmarks/table.py runs/stilllife runs/lego_200
"""

import json
import sys
from pathlib import Path

METRICS = {"psnr": ".2f", "ssim": ".4f", "flip": ".4f", "lpips_alex": ".4f", "lpips_vgg": ".4f"}
STAGES = {"teach": "teacher", "distill": "pseudo", "train": "student", "eval": "eval"}


def size(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def main() -> None:
    for run in map(Path, sys.argv[1:]):
        print(
            f"## {run.name}\n\n| model | PSNR | SSIM | FLIP | LPIPS alex | LPIPS vgg | MB | smallest PSNR to PyTorch |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        metrics = json.loads((run / "eval" / "metrics.json").read_text())
        for model, found in metrics.items():
            row = [format(found[name], form) if found[name] is not None else "n/a" for name, form in METRICS.items()]
            manifest = run / "export" / model / "manifest.json"
            if manifest.is_file():
                content = json.loads(manifest.read_text())
                label = f"{model} ({content['precision']})"
                row += [f"{size(manifest.parent / content['model']['path']) / 1e6:.2f}"]
                row += [f"{content['parity']['psnr_min']:.1f}"]
            else:
                label = model
                row += [f"{size(run / model / f'{model}.safetensors') / 1e6:.2f}", ""]
            print(f"| {label} | {' | '.join(row)} |")
        records = {stage: run / folder / "stage.json" for stage, folder in STAGES.items()}
        minutes = {s: json.loads(r.read_text())["seconds"] / 60 for s, r in records.items() if r.is_file()}
        exports = [json.loads(r.read_text())["seconds"] for r in run.glob("export/.*/stage.json")]
        minutes["export"] = sum(exports) / 60
        views = len(metrics["student"]["views"])
        print(
            f"\n{views} test views; minutes: " + ", ".join(f"{stage} {value:.1f}" for stage, value in minutes.items())
        )
        print(f"whole: {sum(minutes.values()):.1f}\n")


if __name__ == "__main__":
    main()
