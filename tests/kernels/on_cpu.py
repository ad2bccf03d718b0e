"""`kernels.cu` compiled by g++ and run on one CPU thread: shows without a GPU that the kernels are right.

It does not see races, alignment, or the limits of a block.
"""

import ctypes
import functools
import hashlib
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

FLAGS = ("-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror", "-ffp-contract=off")
LAUNCH = """
#include <utility>
template <std::size_t... I> static void call(void* kernel, void** a, std::index_sequence<I...>) {
    ((void (*)(decltype((void)I, (void*)nullptr)...))kernel)(a[I]...);
}
extern "C" void launch(void* kernel, unsigned threads, void** a, int arguments) {
    for (me = 0; me < threads; ++me) switch (arguments) {
CASES
    }
}
"""
MOST = 16  # arguments of a kernel


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="nelf-kernels-"))


class OnCPU:
    """See nelf.kernels.compile.Program."""

    def __init__(self, text: str, index: int = 0) -> None:
        file = _folder() / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not file.with_suffix(".so").exists():
            cases = [
                f"    case {n}: call(kernel, a, std::make_index_sequence<{n}>()); break;" for n in range(1, MOST + 1)
            ]
            file.with_suffix(".cpp").write_text(text + LAUNCH.replace("CASES", "\n".join(cases)))
            subprocess.run(
                ["g++", "-std=c++17", *FLAGS, "-o", file.with_suffix(".so"), file.with_suffix(".cpp")], check=True
            )
        self.library = ctypes.CDLL(str(file.with_suffix(".so")))

    def __call__(self, kernel: str, threads: int, tensors: tuple[Tensor, ...]) -> None:
        assert len(tensors) <= MOST
        inner = [vars(tensor).get("inner", tensor) for tensor in tensors]  # of a pretend device
        assert all(one.is_contiguous() and one.dtype in (torch.float32, torch.int32) for one in inner)
        pointers = (ctypes.c_void_p * len(inner))(*(one.data_ptr() for one in inner))
        function = ctypes.cast(getattr(self.library, kernel), ctypes.c_void_p)
        self.library.launch(function, ctypes.c_uint(threads), pointers, len(inner))
