"""Which implementation an operation has on a device, and how the compiled ones for the CPU run.

Every operation has a plain PyTorch form, its reference, which runs everywhere. `kernel` says that a function is a fast
form of an operation on one type of device; `find` gives that form, or else the reference. Accelerators
share the forms of `GPU`, which launch the kernels of `kernels.cu`.
"""

import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from nelf.kernels.compile import forced_reference, usable

GPU = "gpu"
"""In the place of a device's type: every type for which `kernels.cu` can be compiled."""

_KERNELS: dict[tuple[str, str], Callable[..., Any]] = {}


def kernel(operation: str, device_type: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the form of `operation` on devices of one type: cpu, or GPU for all others.

    torch.compile leaves it as it is: a kernel is compiled already.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        opaque = torch.compiler.disable(function)
        _KERNELS[operation, device_type] = opaque
        return opaque

    return register


def find(operation: str, device: torch.device, reference: Callable[..., Any]) -> Callable[..., Any]:
    """The form of `operation` for `device`: a kernel that takes the arguments of `reference`, or `reference` itself.

    The environment's NELF_KERNELS=reference chooses that everywhere, for bug reports.
    """
    if not torch.compiler.is_compiling() and forced_reference():  # what is compiled has no environment
        return reference
    if (found := _KERNELS.get((operation, device.type))) is not None:
        return found
    form = _KERNELS.get((operation, GPU))
    return form if form is not None and usable(device.type, device.index) else reference


def operations(device_type: str) -> dict[str, Callable[..., Any]]:
    """All operations that have a form on devices of this type, cpu or GPU, and the form."""
    return {name: form for (name, kind), form in _KERNELS.items() if kind == device_type}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel for `split_range`, compiled by numba."""
    return _compile(function, inline="never")


def vectorised(function: Callable[..., Any]) -> Callable[..., Any]:
    """`compiled` for loops over single values, which become vector instructions: a division by zero raises nothing.

    Not for sums over what `split_range` cuts: their last bits would depend on the number of threads.
    """
    return _compile(function, inline="never", error_model="numpy")


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that `compiled` ones call, compiled into them."""
    return _compile(function, inline="always")


def _compile(function: Callable[..., Any], inline: str, error_model: str = "python") -> Callable[..., Any]:
    # unwrap: the type checks that tests put around every function are nothing that numba can compile.
    make = njit(nogil=True, cache=True, fastmath=True, error_model=error_model, inline=inline)
    return make(inspect.unwrap(function))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="nelf-kernel")


def split_range(function: Callable[..., object], count: int, *arguments: object) -> None:
    """Call `function(start, stop, *arguments)` on parts of range(count), one part a thread.

    The function must release the GIL (numba `nogil=True`) and write to disjoint places in disjoint parts.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        if count:
            function(0, count, *arguments)
        return
    edges = np.linspace(0, count, threads + 1).astype(np.int64)
    futures = [_pool(threads).submit(function, edges[i], edges[i + 1], *arguments) for i in range(threads)]
    for future in futures:
        future.result()


def array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory as a NumPy array, contiguous, without its gradient."""
    return tensor.detach().contiguous().numpy()
