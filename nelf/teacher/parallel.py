"""Run compiled CPU kernels on torch's number of threads, without a second pool of spinning workers."""

import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel for `split_range`, compiled by numba."""
    return _compile(function, inline="never")


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that `compiled` ones call, compiled into them."""
    return _compile(function, inline="always")


def _compile(function: Callable[..., Any], inline: str) -> Callable[..., Any]:
    # unwrap: the type checks that tests put around every function are nothing that numba can compile.
    return njit(nogil=True, cache=True, fastmath=True, inline=inline)(inspect.unwrap(function))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="nelf-kernel")


def split_range(kernel: Callable[..., object], count: int, *arguments: object) -> None:
    """Call `kernel(start, stop, *arguments)` on parts of range(count), one part a thread.

    The kernel must release the GIL (numba `nogil=True`) and write to disjoint places in disjoint parts.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        if count:
            kernel(0, count, *arguments)
        return
    edges = np.linspace(0, count, threads + 1).astype(np.int64)
    futures = [_pool(threads).submit(kernel, edges[i], edges[i + 1], *arguments) for i in range(threads)]
    for future in futures:
        future.result()


def array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory as a NumPy array, contiguous, without its gradient."""
    return tensor.detach().contiguous().numpy()
