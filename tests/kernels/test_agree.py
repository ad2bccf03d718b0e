"""Every kernel of `kernels.cu` against its plain form, by g++; and that CUDA and Metal take the same source."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nelf.core.errors import ConfigError
from nelf.kernels import compile as compiling
from nelf.kernels import dispatch, random_numbers
from nelf.kernels.dispatch import GPU, find, operations
from tests.kernels.cases import CASES, Case, gradients, moved, tensors
from tests.kernels.on_cpu import OnCPU

MODEL = (
    ("CELLS", 32), ("CHANNELS", 8), ("DENSE", 1), ("ENTRIES", 4096), ("LEVELS", 4), ("NODES", 65), ("RANDOM", 1),
    ("SAMPLES", 24), ("SHAPE", 0), ("SIDE", 32), ("STEPS", 64), ("VALUES", 4), ("VOLUME", 36),
)  # fmt: skip
"""Macros of all kernels at once."""

TOLERANCES = {"marched-contraction": 5e-6, "resampled-contraction": 1e-4}


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the accelerators' forms accept CPU tensors."""
    compiling.program.cache_clear()
    monkeypatch.setitem(compiling.PROGRAMS, "cpu", OnCPU)


def agree(case: Case, form: Any, device: str, values: float, grads: float) -> None:
    """Largest differences, relative to the largest value or to 1: lengths are differences of points in the cube."""
    inputs = [moved(value, device) for value in case.inputs]
    wanted = [inputs[i] for i, value in enumerate(case.inputs) if any(value is one for one in case.wanted)]
    found, expected = form(*inputs), case.reference(*case.inputs)
    ours, theirs = tensors(found), tensors(expected)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        if not other.is_floating_point():
            assert torch.equal(one.long(), other.long())
            continue
        assert float((one - other).abs().max()) <= values * max(1.0, float(other.abs().max()))
    for one, other in zip(gradients(found, wanted), gradients(expected, list(case.wanted)), strict=True):
        assert float((one - other).abs().max()) <= grads * float(other.abs().max())


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_is_its_reference(name: str) -> None:
    case = CASES[name]
    # Importance sampling divides by the mass of a bin: where that is small, the last bits of running sums show. In the
    # contraction a depth is 1 / (2 - x), so the last bit of x counts as often as the depth is large: 68 in this case.
    values = TOLERANCES.get(name, 5e-5 if "resampled" in name else 1e-6)
    agree(case, operations(GPU)[case.operation], "cpu", values, 1e-5)


def test_every_kernel_has_a_case() -> None:
    assert {case.operation for case in CASES.values()} == set(operations(GPU))


@pytest.mark.usefixtures("on_cpu")
def test_a_march_without_room_for_all_leaves_out_the_last_rays() -> None:
    whole = CASES["marched-box"].inputs
    expected = CASES["marched-box"].reference(*whole)
    samples = operations(GPU)["march"](*whole, 500)
    assert len(samples.points) == 500
    assert int(samples.found) == len(expected.ray) > 500
    assert int(samples.offsets.max()) == 500
    assert torch.equal(samples.ray.long(), expected.ray[:500])
    roomy = operations(GPU)["march"](*whole, len(expected.ray) + 100)
    assert int(roomy.found) == int(roomy.offsets[-1]) == len(expected.ray)
    assert not roomy.points[len(expected.ray) :].any()


@pytest.mark.usefixtures("on_cpu")
def test_rows_beyond_the_count_are_neither_read_nor_written() -> None:
    points, table, resolutions = CASES["hash_encode"].inputs
    points = points.clone()
    points[100:] = torch.nan
    out = operations(GPU)["hash_encode"](points, table, resolutions, torch.tensor([100]))
    assert out[:100].any(dim=1).all()
    assert not out[100:].any()
    (grad,) = torch.autograd.grad(out.sum(), table)
    assert grad.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["75", "80", "86", "89", "90", "100", "120"])
def test_cuda_compiles_for_every_generation(capability: str) -> None:
    if torch.version.cuda is None:
        pytest.skip("this torch has no CUDA build, and with it no NVRTC")
    compiling.cubin(compiling.source((("RANDOM", 1),)), capability)  # loads NVRTC
    began = time.process_time()
    code = compiling.cubin(compiling.source(MODEL), capability)
    assert time.process_time() - began < 10  # it takes about one second
    assert code.startswith(b"\x7fELF")


def test_what_nvrtc_says_of_a_mistake() -> None:
    if torch.version.cuda is None:
        pytest.skip("this torch has no CUDA build, and with it no NVRTC")
    with pytest.raises(RuntimeError, match=r"(?s)NVRTC for sm_80: .*error.*nonsense"):
        compiling.cubin("nonsense;", "80")


METAL_STDLIB = """
#include <algorithm>
#include <cmath>
#define device
#define thread
#define kernel extern "C"
typedef unsigned uint;
typedef unsigned long ulong;
namespace metal {
using std::exp; using std::fabs; using std::max; using std::min; using std::sqrt;
struct float4 { float x, y, z, w; };
struct atomic_float { float value; };
enum order { memory_order_relaxed };
inline void atomic_fetch_add_explicit(atomic_float* at, float value, order) { at->value += value; }
}
"""


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_metal_is_parsed(shape: int, tmp_path: Path) -> None:
    """With stand-ins for Metal: finds misspelt names and wrong types, not what only Metal forbids."""
    (tmp_path / "metal_stdlib").write_text(METAL_STDLIB)
    (tmp_path / "kernels.cpp").write_text(compiling.source((*(m for m in MODEL if m[0] != "SHAPE"), ("SHAPE", shape))))
    flags = ["-D__METAL_VERSION__=310", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-attributes"]
    subprocess.run(["g++", *flags, f"-I{tmp_path}", tmp_path / "kernels.cpp"], check=True)


class _Refusing:
    def __init__(self, text: str, index: int) -> None:
        raise OSError("no compiler\nfor this one")


def test_a_device_that_cannot_compile_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compiling.PROGRAMS, "meta", _Refusing)
    compiling.usable.cache_clear()
    device, reference = torch.device("meta"), random_numbers.draw_uniform_reference
    with pytest.warns(UserWarning, match=r"cannot be compiled for this meta device \(no compiler for this one\)"):
        assert find("draw_uniform", device, reference) is reference
    assert find("draw_uniform", device, reference) is reference  # and no second warning, which would fail the test
    compiling.usable.cache_clear()


def test_the_environment_chooses_the_plain_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    case, cpu = CASES["hash_encode"], torch.device("cpu")
    assert find("hash_encode", cpu, case.reference) is dispatch.operations("cpu")["hash_encode"]
    monkeypatch.setenv(compiling.SWITCH, "reference")
    assert find("hash_encode", cpu, case.reference) is case.reference
    monkeypatch.setenv(compiling.SWITCH, "fast")
    with pytest.raises(ConfigError, match="NELF_KERNELS=fast in the environment is not known; use auto or reference"):
        find("hash_encode", cpu, case.reference)


def test_random_numbers_are_even_and_shared() -> None:
    draws = random_numbers.HashedRandom(3, 5, device="cpu")
    drawn = draws.uniform(20_000, 2)
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    assert torch.histc(drawn, 10, 0, 1).std() / 4000 < 0.03  # of 4,000 a bin: 63, 1.6 %, by chance
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 0.03
    assert not torch.equal(draws.uniform(20_000, 2), drawn)
    assert torch.equal(draws.permutation(100).sort().values, torch.arange(100))
    many = draws.integers(20_000, 3 << 31)
    assert int(many.min()) >= 0
    assert 0.98 < float(many.max()) / (3 << 31) < 1
    whole = random_numbers.HashedRandom(9, device="cpu").integers(12, 1000)
    parts = [random_numbers.HashedRandom(9, rank=rank, ranks=3, device="cpu").integers(4, 1000) for rank in range(3)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(), whole)
