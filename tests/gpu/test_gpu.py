"""On a real GPU: kernels against their plain forms on the CPU, training, renders, and waits of a step."""

import dataclasses
import functools
from pathlib import Path

import pytest
import torch

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.core.progress import Stop
from nelf.distill import DistillConfig, distill_in_workers
from nelf.kernels.compile import usable
from nelf.kernels.dispatch import GPU, operations
from nelf.teacher import render_image
from nelf.teacher.stage import new_trainer
from tests.kernels.cases import CASES
from tests.kernels.test_agree import agree
from tests.teacher import tiny
from tests.train.test_trainer import compiled_learns_the_same


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_is_its_reference(name: str, device: torch.device) -> None:
    """Looser than on the CPU: atomics add in any order, and a GPU fuses multiply and add."""
    case = CASES[name]
    assert usable(device.type, device.index)
    agree(case, operations(GPU)[case.operation], str(device), 1e-4 if "resampled" in name else 1e-5, 1e-4)


@pytest.mark.parametrize("kind", ["object", "unbounded", "forward-facing"])
def test_a_teacher_learns_as_on_the_cpu(kind: str, device: torch.device) -> None:
    scene = tiny.scene(kind)
    config = tiny.instant_ngp(max_steps=300, importance_samples=None if kind == "object" else 24)
    errors = {}
    for accelerator in ("cpu", device.type):
        trainer = new_trainer(scene, config, make_fabric(DeviceConfig(accelerator=accelerator)))
        for _ in range(300):
            trainer.advance()
        errors[accelerator] = trainer.error
    assert errors[device.type] < 1.3 * errors["cpu"]  # 1.1 dB: other random numbers


def test_steps_do_not_wait(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("not run: only CUDA tells where the host waits")
    trainer = new_trainer(tiny.scene("object"), tiny.instant_ngp(), make_fabric(DeviceConfig(accelerator="cuda")))
    for _ in range(40):
        trainer.advance()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(15 - trainer.step % 16):
            trainer.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore")  # of the compiler, none of ours
def test_compiled_a_student_learns_the_same(device: torch.device) -> None:
    compiled_learns_the_same("hierarchical", device.type)


@pytest.mark.parametrize("kind", ["object", "unbounded", "forward-facing"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_renders_keep_sixty_decibels(kind: str, dtype: torch.dtype, device: torch.device) -> None:
    scene = tiny.scene(kind)
    trainer = new_trainer(scene, tiny.instant_ngp(), make_fabric(DeviceConfig(accelerator=device.type)))
    for _ in range(100):
        trainer.advance()
    field, views = trainer.field.eval(), scene.train
    where = views.c2w[0], views.intrinsics[0], views.height, views.width
    exact, reduced = render_image(field, *where), render_image(field.with_precision(dtype), *where)
    assert -10 * torch.log10((exact.rgb - reduced.rgb).square().mean()) > 60


def test_pseudo_views_are_those_of_the_cpu(device: torch.device, tmp_path: Path) -> None:
    """A GPU rounds differently: some pixels differ by a grey level."""
    scene = tiny.scene("object")
    trainer = new_trainer(scene, tiny.instant_ngp(), make_fabric(DeviceConfig(accelerator=device.type)))
    for _ in range(100):
        trainer.advance()
    field, shown = trainer.field.eval(), {}
    for where in (device, torch.device("cpu")):
        folder = tmp_path / where.type
        config, load = DistillConfig(views=8), functools.partial(field.to, where)
        distill_in_workers(load, scene, config, folder, {"teacher": "x"}, Stop())
        shown[where.type] = [tiny_image(path) for path in sorted(folder.glob("images/*.png"))]
    assert len(shown[device.type]) == 8
    for one, other in zip(shown[device.type], shown["cpu"], strict=True):
        assert (one - other).abs().float().mean() < 0.5


def tiny_image(path: Path) -> torch.Tensor:
    import numpy as np
    from PIL import Image

    return torch.from_numpy(np.array(Image.open(path)).astype(np.int32))


def test_a_batch_that_does_not_fit_is_one_line(device: torch.device) -> None:
    from nelf.core.files import system_error

    if device.type != "cuda":
        pytest.skip("not run: a Mac's memory is the system's")
    config = dataclasses.replace(tiny.instant_ngp(), samples_per_step=1 << 40)
    trainer = new_trainer(tiny.scene("object"), config, make_fabric(DeviceConfig(accelerator="cuda")))
    with pytest.raises(torch.OutOfMemoryError) as error:
        trainer.advance()
    told = system_error(error.value)
    assert told is not None
    assert "lower train.batch_size, teacher.samples_per_step" in str(told)
