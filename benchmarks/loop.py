"""What data loading, logging and validation cost on top of the training steps.

    python benchmarks/loop.py runs/stilllife [--steps 1000] [--repeats 3] [student=m train.batch_size=8 ...]

RUN has its pseudo views (`nelf distill SCENE`). Two things take turns: `--steps` steps of `nelf train`, stage 1, as
configured; and as many bare steps (forward, backward, optimizer, averaged weights) on one batch in memory. The median
ratio counts; the aim is 0.90 or more. The first decoding of the views belongs to the former: with few steps it weighs
more than in a real training. The last validation and the last checkpoint are excluded.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

from nelf.core.progress import Stop
from nelf.pipeline import Run, new_student
from nelf.pipeline.stages import rendered_scene
from nelf.train import TrainConfig, train
from nelf.train.batches import CachedViews, MemoryBudget
from nelf.train.trainer import StudentTrainer

WARM_UP = 10  # bare steps before the clock starts


def looped(run: Run, config: TrainConfig) -> float:
    """Seconds of stage 1 as `nelf train` counts them."""
    with tempfile.TemporaryDirectory() as folder:
        scene, views = run.scene, rendered_scene(run).train
        train(new_student(run), views, scene.train, scene.val, config, Path(folder), run.fabric, Stop())
        seconds: float = json.loads((Path(folder) / "history.json").read_text())[-1]["seconds"]
    return seconds


def bare(run: Run, config: TrainConfig) -> float:
    """Seconds of as many steps on one batch."""
    learner = StudentTrainer(new_student(run), config, run.fabric)
    model = learner.model
    views = CachedViews(rendered_scene(run).train, model.frame.channels, MemoryBudget(1.0), model.depth_pixels)
    batch = views.batch(list(range(config.batch_size)))
    assert config.max_steps is not None
    for step in range(WARM_UP):
        learner.step(batch, config.lr / 100, (step,))
    began = time.perf_counter()
    for step in range(config.max_steps):
        learner.step(batch, config.lr / 100, (step,))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with pseudo views")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_intermixed_args()
    run = Run.open(options.run, options.overrides)
    tune = dataclasses.replace(run.config.train.finetune, enabled=False)
    config = dataclasses.replace(run.config.train, max_steps=options.steps, max_minutes=None, finetune=tune)
    images, ratios = options.steps * config.batch_size, []
    for _ in range(options.repeats):
        whole, alone = looped(run, config), bare(run, config)
        ratios.append(alone / whole)
        print(
            f"views a second: {images / whole:.1f} in training, {images / alone:.1f} bare; {ratios[-1]:.3f}", flush=True
        )
    print(f"throughput of the loop relative to bare steps: {statistics.median(ratios):.3f} (median)")


if __name__ == "__main__":
    main()
