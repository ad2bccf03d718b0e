"""What several processes on one machine lose against one process with as many threads.

python benchmarks/ddp.py                    two processes of one thread against one process of two threads
python benchmarks/ddp.py --student mobiler2l --size 128 --seconds 60 --repeats 5

Measures views per second in training steps of a student (gloo, on the CPU): two processes with half the batch each,
started by torchrun, against one with the whole batch. They take turns, and the median ratio counts: run it on an idle
machine. The aim is 0.85 or more. Figures: runs/ddp/ddp.json.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 3  # steps


def measure(options: argparse.Namespace, out: Path) -> None:
    """This process's part; the first one writes the total views per second to `out`."""
    import torch

    from nelf.core.cameras import look_at
    from nelf.core.devices import DeviceConfig, make_fabric
    from nelf.pipeline import compose_config, typed
    from nelf.student import Mapping, SceneGeometry, make_student
    from nelf.train import TrainConfig
    from nelf.train.batches import Batch
    from nelf.train.trainer import StudentTrainer

    fabric = make_fabric(DeviceConfig(accelerator="cpu"))
    fabric.launch()
    torch.set_num_threads(options.cores // fabric.world_size)
    batch, size = options.batch // fabric.world_size, options.size
    generator = torch.Generator().manual_seed(fabric.global_rank)
    eye = 4 * torch.nn.functional.normalize(torch.randn(options.batch, 3, generator=generator), dim=-1)
    c2w = look_at(eye, torch.zeros(options.batch, 3), torch.tensor([0.0, 0.0, 1.0]))
    lens = torch.tensor([size * 1.2, size * 1.2, size / 2, size / 2]).expand(options.batch, 4)
    config = typed(compose_config(["scene.path=nowhere", f"student={options.student}"])).student
    frame = SceneGeometry.around(c2w, lens, (size, size), 3, 2.0, 6.0, torch.zeros(3), 1.2, Mapping.LINEAR)
    torch.manual_seed(0)
    learner = StudentTrainer(make_student(config, frame), TrainConfig(batch_size=batch), fabric)
    images = torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8)
    given = Batch(c2w[:batch], lens[:batch], images)
    for number in range(WARM_UP):
        learner.step(given, 1e-4, (0, 1, number))
    fabric.barrier()
    began, steps = time.perf_counter(), 0
    while True:
        learner.step(given, 1e-4, (0, 1, WARM_UP + steps))
        steps += 1
        seconds = time.perf_counter() - began
        if fabric.broadcast(seconds >= options.seconds):
            break
    if fabric.is_global_zero:
        out.write_text(json.dumps(steps * options.batch / seconds))


def start(options: argparse.Namespace, processes: int) -> float:
    """Views per second of `processes` processes."""
    out = options.out / "views.json"
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    given = ("student", "size", "batch", "cores", "seconds", "out")
    arguments = [part for name in given for part in (f"--{name}", str(getattr(options, name)))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(options.cores // processes)}
    command = [sys.executable, *launcher, __file__, "--measure", *arguments]
    subprocess.run(command, check=True, env=environment)
    return float(json.loads(out.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="m")
    parser.add_argument("--size", type=int, default=96, help="of the images, pixels")
    parser.add_argument("--batch", type=int, default=16, help="views per step, over all processes")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/ddp"))
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.measure:
        measure(options, options.out / "views.json")
        return
    turns = [(start(options, 1), start(options, options.cores)) for _ in range(options.repeats)]
    ratios = [many / one for one, many in turns]
    assert all(math.isfinite(ratio) for ratio in ratios)
    figures = {
        "student": options.student, "size": options.size, "batch": options.batch, "processes": options.cores,
        "views_per_second": [{"one_process": one, "processes": many} for one, many in turns],
        "ratio": statistics.median(ratios), "ratios": ratios,
    }  # fmt: skip
    from nelf.core.files import write_json

    write_json(options.out / "ddp.json", figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
