"""LiteRT's profiler through its C library, since the Python package has no call for it.

`Interpreter` does not tell where time goes, but `libLiteRt.so` next to it exports LiteRT's C interface (litert/c/*.h in
LiteRT's repository). Its compiled models can be profiled down to XNNPACK's operations.
Run it in a process of its own: a library with another layout could crash it.
"""

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNCOUNTED = 2  # frames that warm up caches
CPU = 1  # of LiteRT's accelerators
DELEGATE_OPERATOR = 1 << 3  # profiler event type: an operation inside XNNPACK
OPERATOR = 1 << 1  # an operation outside any delegate
WHOLE = b"Invoke"
WRITE_LOCK = 1
TENSOR_TYPE_BYTES = 128  # larger than LiteRtRankedTensorType
NO_OPTIONS = (ctypes.c_char * 256)()

Handle = ctypes.c_void_p


class _Event(ctypes.Structure):
    """ProfiledEventData of litert_profiler_event.h; memory use before and after has three numbers each."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


@ctypes.CFUNCTYPE(None, Handle)
def _keep(_: int) -> None:
    """Deleter of option texts; does nothing, since they belong to Python."""


class _Library:
    """The required calls. Each raises RuntimeError unless the library reports success."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("ai_edge_litert")
        folder = Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None
        library = next(iter(sorted(folder.glob("libLiteRt.*"))), None) if folder else None
        if library is None:
            raise RuntimeError("this LiteRT comes without its C library libLiteRt")
        self._library = ctypes.CDLL(str(library))

    def call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name)
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} answers {status}")

    def make(self, name: str, *arguments: Any) -> Handle:
        """Call a function whose last argument receives a handle."""
        handle = Handle()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle


def profile_file(
    path: Path, threads: int, inputs: Sequence[NDArray[Any]], frames: int
) -> list[list[tuple[str, float]]]:
    """(operation, milliseconds) in order of execution, one list for each of `frames` frames.

    inputs: one array per input of the first signature, in its order. Raises RuntimeError if the library refuses.
    """
    library = _Library()
    environment = library.make("LiteRtCreateEnvironment", 0, NO_OPTIONS)
    model = library.make("LiteRtCreateModelFromFile", environment, str(path).encode())
    options = library.make("LiteRtCreateOptions")
    library.call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
    texts = {
        b"runtime_options_string": ctypes.create_string_buffer(b"enable_profiling = true\n"),
        b"xnnpack": ctypes.create_string_buffer(f"num_threads = {threads}\n".encode()),
    }
    for name, text in texts.items():
        library.call("LiteRtAddOpaqueOptions", options, library.make("LiteRtCreateOpaqueOptions", name, text, _keep))
    compiled = library.make("LiteRtCreateCompiledModel", environment, model, options)
    profiler = library.make("LiteRtCompiledModelGetProfiler", compiled)
    if not profiler:
        raise RuntimeError("LiteRT gives no profiler for this model")
    signature = library.make("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
    given = _buffers(library, environment, compiled, signature, "Input")
    results = _buffers(library, environment, compiled, signature, "Output")
    for buffer, array in zip(given, inputs, strict=True):
        _fill(library, buffer, array)

    def run() -> None:
        counts = ctypes.c_size_t(len(given)), ctypes.c_size_t(len(results))
        library.call("LiteRtRunCompiledModel", compiled, ctypes.c_size_t(0), counts[0], given, counts[1], results)

    for _ in range(UNCOUNTED):
        run()
    return _events(library, profiler, run, frames)


def _buffers(library: _Library, environment: Handle, compiled: Handle, signature: Handle, side: str) -> Any:
    """Array of tensor buffers for the signature's inputs or outputs."""
    count = ctypes.c_size_t()
    library.call(f"LiteRtGetNumSignature{side}s", signature, ctypes.byref(count))
    buffers = (Handle * count.value)()
    for i in range(count.value):
        index = ctypes.c_size_t(i)
        tensor = library.make(f"LiteRtGetSignature{side}TensorByIndex", signature, index)
        kind = (ctypes.c_char * TENSOR_TYPE_BYTES)()
        library.call("LiteRtGetRankedTensorType", tensor, kind)
        needs = library.make(f"LiteRtGetCompiledModel{side}BufferRequirements", compiled, ctypes.c_size_t(0), index)
        buffers[i] = library.make("LiteRtCreateManagedTensorBufferFromRequirements", environment, kind, needs)
    return buffers


def _fill(library: _Library, buffer: int, array: NDArray[Any]) -> None:
    address = Handle()
    library.call("LiteRtLockTensorBuffer", Handle(buffer), ctypes.byref(address), WRITE_LOCK)
    content = np.ascontiguousarray(array)
    ctypes.memmove(address, content.ctypes.data, content.nbytes)
    library.call("LiteRtUnlockTensorBuffer", Handle(buffer))


def _events(library: _Library, profiler: Handle, run: Callable[[], None], frames: int) -> list[list[tuple[str, float]]]:
    library.call("LiteRtResetProfiler", profiler)
    library.call("LiteRtStartProfiler", profiler)
    for _ in range(frames):
        run()
    library.call("LiteRtStopProfiler", profiler)
    count = ctypes.c_int()
    library.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
    events = (_Event * count.value)()
    library.call("LiteRtGetProfilerEvents", profiler, count, events)
    found: list[list[tuple[str, float]]] = []
    for event in events:
        if event.kind == 1 and event.tag == WHOLE:
            found.append([])
        elif event.kind in (OPERATOR, DELEGATE_OPERATOR) and found:
            found[-1].append((event.tag.decode(), event.elapsed_us / 1000))
    if len(found) != frames or not any(found):
        raise RuntimeError(f"LiteRT's profiler reports {len(found)} frames, but {frames} ran")
    return found
