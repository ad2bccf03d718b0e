"""Compare forecasts of runs with their actual times: `python benchmarks/forecast.py RUN...`.

One row per stage: expected seconds, actual seconds, and their ratio. The figures in nelf/pipeline/costs.py are right if
the ratios are around 1 on an idle machine; otherwise a stage's figure is wrong.
"""

import argparse
from pathlib import Path

from nelf.pipeline.evaluate_stage import stage_seconds
from nelf.pipeline.forecast import noted_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    print(f"{'run':24}{'stage':10}{'expected s':>12}{'taken s':>10}{'ratio':>8}")
    for run in parser.parse_args().runs:
        expected = noted_seconds(run)
        for stage, taken in stage_seconds(run).items():
            if stage in expected:
                print(f"{run.name:24}{stage:10}{expected[stage]:12.1f}{taken:10.1f}{taken / expected[stage]:8.2f}")


if __name__ == "__main__":
    main()
