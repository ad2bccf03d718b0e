"""`kernels.cu` on accelerators: compiled while the program runs, for the device that is there, and launched.

CUDA: by NVRTC, which comes with PyTorch, for exactly the GPU at hand; loaded and launched by the driver. Metal: by
`torch.mps.compile_shader`. Neither needs a toolkit. What a model fixes is part of the source, so that loops unroll; a
program takes tenths of a second and is kept for the process.
"""

import ctypes
import functools
import os
import sys
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from nelf.core.errors import ConfigError, one_line

THREADS = 256  # a block
SWITCH = "NELF_KERNELS"  # environment: auto, or reference for the plain PyTorch forms everywhere
Sizes = tuple[tuple[str, int], ...]


@runtime_checkable
class Program(Protocol):
    """Some of the kernels, compiled."""

    def __call__(self, kernel: str, threads: int, tensors: tuple[Tensor, ...]) -> None:
        """Launch `kernel` with at least `threads` threads on the current stream."""
        ...


def launch(kernel: str, threads: int, sizes: dict[str, int], *tensors: Tensor) -> None:
    """Run a kernel of `kernels.cu`. sizes: its macros. tensors: its arguments, float32 or int32, all on one device."""
    device = tensors[0].device
    for tensor in tensors:
        assert tensor.device == device, (kernel, tensor.device, device)
        assert tensor.dtype in (torch.float32, torch.int32), (kernel, tensor.dtype)
        assert tensor.is_contiguous(), kernel
    if threads:
        program(device.type, device.index or 0, tuple(sorted(sizes.items())))(kernel, threads, tensors)


@functools.cache
def program(device_type: str, index: int, sizes: Sizes) -> Program:
    """The kernels of these sizes for one device."""
    return PROGRAMS[device_type](source(sizes), index)


def source(sizes: Sizes) -> str:
    """The program's text: the kernels whose macros `sizes` defines."""
    macros = "".join(f"#define {name} {value}\n" for name, value in sizes)
    return files("nelf.kernels").joinpath("kernels.cu").read_text("utf-8").replace("// SIZES", f"{macros}//", 1)


@functools.lru_cache(maxsize=4096)
def constants(values: tuple[int, ...], device: torch.device) -> Tensor:
    """int32 numbers on `device`. Filled in there: a copy from the host would wait for all that the device has to do."""
    return torch.cat([torch.full((1,), value, dtype=torch.int32, device=device) for value in values])


def forced_reference() -> bool:
    """Whether the environment asks for the plain forms. Raises ConfigError for a value that is not known."""
    chosen = os.environ.get(SWITCH, "auto")
    if chosen not in ("auto", "reference"):
        raise ConfigError(f"{SWITCH}={chosen} in the environment is not known; use auto or reference")
    return chosen == "reference"


@functools.cache
def usable(device_type: str, index: int | None = None) -> bool:
    """Whether kernels can be compiled for this device. Warns once, with the reason, where they cannot."""
    if device_type not in PROGRAMS:
        return False
    try:
        program(device_type, index or 0, (("RANDOM", 1),))
    except (OSError, RuntimeError, AttributeError) as error:
        reason = one_line(error, 300)
        warnings.warn(
            f"nelf's kernels cannot be compiled for this {device_type} device ({reason}); plain PyTorch computes "
            "instead, several times slower",
            stacklevel=2,
        )
        return False
    return True


class CudaProgram:
    """Loaded into the context of one GPU. Not run by anyone on hardware yet."""

    def __init__(self, text: str, index: int) -> None:
        major, minor = torch.cuda.get_device_capability(index)
        self._driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        self._index, self._module, self._functions = index, ctypes.c_void_p(), dict[str, ctypes.c_void_p]()
        self._code = cubin(text, f"{major}{minor}")
        with torch.cuda.device(index):
            torch.cuda.current_stream()  # PyTorch's context is the current one from here on
            self._check(self._driver.cuModuleLoadData(ctypes.byref(self._module), self._code))

    def __call__(self, kernel: str, threads: int, tensors: tuple[Tensor, ...]) -> None:
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        arguments = (ctypes.c_void_p * len(pointers))(*(ctypes.addressof(pointer) for pointer in pointers))
        with torch.cuda.device(self._index):
            stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
            blocks = (threads + THREADS - 1) // THREADS
            shape = (blocks, 1, 1, THREADS, 1, 1, 0)
            self._check(self._driver.cuLaunchKernel(self._function(kernel), *shape, stream, arguments, None))

    def _function(self, kernel: str) -> ctypes.c_void_p:
        if kernel not in self._functions:
            function = ctypes.c_void_p()
            self._check(self._driver.cuModuleGetFunction(ctypes.byref(function), self._module, kernel.encode()))
            self._functions[kernel] = function
        return self._functions[kernel]

    def _check(self, result: int) -> None:
        if result:
            said = ctypes.c_char_p()
            self._driver.cuGetErrorString(result, ctypes.byref(said))
            raise RuntimeError(f"CUDA: {(said.value or b'unknown error').decode()}")


class MetalProgram:
    """Compiled by the system. Not run by anyone on hardware yet. `threads` counts threads, not blocks."""

    def __init__(self, text: str, index: int) -> None:
        self._library: Any = torch.mps.compile_shader(text)

    def __call__(self, kernel: str, threads: int, tensors: tuple[Tensor, ...]) -> None:
        getattr(self._library, kernel)(*tensors, threads=threads, group_size=THREADS)


PROGRAMS: dict[str, Callable[[str, int], Program]] = {"cuda": CudaProgram, "mps": MetalProgram}
"""Type of device -> what compiles a text for the device of an index."""


def cubin(text: str, capability: str) -> bytes:
    """Machine code for GPUs of one compute capability ("89"), by NVRTC. Raises RuntimeError with its log."""
    nvrtc = _nvrtc()
    made, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(made), text.encode(), b"kernels.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture=sm_{capability}".encode())
    failed = nvrtc.nvrtcCompileProgram(made, 1, options)
    wanted = "ProgramLog" if failed else "CUBIN"
    getattr(nvrtc, f"nvrtcGet{wanted}Size")(made, ctypes.byref(size))
    found = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{wanted}")(made, found)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(made))
    if failed:
        raise RuntimeError(f"NVRTC for sm_{capability}: {found.value.decode()}")
    return found.raw


@functools.cache
def _nvrtc() -> ctypes.CDLL:
    """PyTorch's own. Raises OSError where this PyTorch has none."""
    if torch.version.cuda is None:
        raise OSError("this PyTorch is built without CUDA")
    major = torch.version.cuda.partition(".")[0]
    name = f"nvrtc64_{major}0_0.dll" if sys.platform == "win32" else f"libnvrtc.so.{major}"
    wheels = Path(torch.__file__).parents[1] / "nvidia"
    beside = [*wheels.glob(f"*/lib/{name}"), *wheels.glob(f"*/bin/{name}")]
    return ctypes.CDLL(str(beside[0]) if beside else name)
