"""Hold what nelf expected of runs against what they took: `python benchmarks/forecast.py RUN...`.

A row a stage: seconds expected before it began, seconds taken, and their ratio. The table in nelf/pipeline/costs.py
is right where the ratios lie around 1 on an idle machine; a stage whose ratio does not has a wrong figure there.
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
