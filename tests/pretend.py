"""A fake accelerator: the CPU behind a strict interface. Shows, without a GPU, what would fail or wait on one.

    from tests.pretend import STRICT, report     # registers the device type "strict" in this process for good
    x = torch.ones(3, device=STRICT)             # then run nelf with it; report() lists the counts

It refuses float64, as MPS does, and mixed devices, as CUDA and MPS do; with `FATAL = False` it only counts them. It
counts per line of nelf when the host waits for the device (a value or a size is read: item, float, bool, cpu, nonzero,
a boolean index), and when something is copied. It computes on the CPU, with autograd and autocast; g++ compiles
`kernels.cu`. It does not see speed, asynchrony, what MPS lacks, or rounding.
"""

import collections
import traceback
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from nelf.kernels.compile import PROGRAMS
from tests.kernels.on_cpu import OnCPU

FATAL = True
PROJECT = "nelf/"  # lines outside are told by the last line inside that led to them
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "repeat_interleave")
COPIES = ("_to_copy", "copy_", "_copy_from", "_copy_from_and_resize")
LOWER = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "conv2d", "conv_transpose2d.input")  # under autocast
counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)


class Refused(RuntimeError):
    """An operation that a device would not do."""


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_setup_privateuseone_for_python_backend("strict", backend_module=_Module())
STRICT = torch.device("strict", 0)
PROGRAMS["strict"] = OnCPU


def _count(what: str, detail: str = "") -> None:
    stack = traceback.extract_stack()
    if what == "refused: float64" and any(frame.filename.endswith("amp/grad_scaler.py") for frame in stack):
        return  # PyTorch's scaler does without on MPS, which it knows by name
    for frame in reversed(stack):
        if f"/{PROJECT}" in frame.filename and "site-packages" not in frame.filename:
            where = f"{PROJECT}{frame.filename.rpartition('/' + PROJECT)[2]}:{frame.lineno}  {(frame.line or '')[:90]}"
            break
    else:
        where = "elsewhere"
    counts[what][f"{where} {detail}"] += 1
    if FATAL and what.startswith("refused"):
        raise Refused(f"{what}: {where} {detail}")


class Strict(torch.Tensor):
    """A tensor that claims to be on the device; `inner` holds the values."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Strict":
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=STRICT, **layout)

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert a device's tensor to numpy; use Tensor.cpu() first")

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Strict({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, *args, **(kwargs or {}))


def _run(func: Any, *args: Any, **kwargs: Any) -> Any:
    name = func.overloadpacket.__name__
    leaves = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    ours = [x for x in leaves if isinstance(x, Strict)]
    others = [x for x in leaves if not isinstance(x, Strict) and x.ndim > 0]  # a CPU scalar may go with anything
    device = kwargs.get("device")
    there = torch.device(device).type == "strict" if device is not None else bool(ours)
    if name in COPIES:
        there = isinstance(args[0], Strict) if name == "copy_" else there
        if there and not all(isinstance(x, Strict) for x in leaves):
            _count("handed over", "non_blocking" if kwargs.get("non_blocking") else "")
        elif ours and not there:
            _count("the host waits", name)
    elif ours:
        counts["operations"]["all"] += 1
        index = tree_leaves(args[1:2]) if name.startswith(("index", "_index_put")) else []
        if others and all(any(x is i for i in index) for x in others):
            _count("handed over", "an index on the CPU")
        elif others:
            _count("refused: devices mixed", name)
        if name in WAITS or any(isinstance(i, torch.Tensor) and i.dtype is torch.bool for i in index):
            _count("the host waits", name)
    if device is not None:
        kwargs["device"] = torch.device("cpu")
    kwargs.pop("pin_memory", None)
    inner_args, inner_kwargs = tree_map(lambda x: x.inner if isinstance(x, Strict) else x, (args, kwargs))
    out = func(*inner_args, **inner_kwargs)
    if not there:
        return out
    if any(isinstance(x, torch.Tensor) and x.dtype is torch.float64 for x in tree_leaves(out)):
        _count("refused: float64", name)
    known = {id(x.inner): x for x in ours}  # in place: the same tensor again
    return tree_map(lambda x: (known[id(x)] if id(x) in known else Strict(x)) if type(x) is torch.Tensor else x, out)


def _lowered(packet: str) -> Any:
    name, _, overload = packet.partition(".")
    operation = getattr(getattr(torch.ops.aten, name), overload or "default")

    def run(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype("strict")
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            lower = lambda x: x.to(dtype) if isinstance(x, torch.Tensor) and x.dtype is torch.float32 else x  # noqa: E731
            return operation(*tree_map(lower, args), **tree_map(lower, kwargs))

    return run


_any, _aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_any.fallback(_run, "PrivateUse1")  # factories: torch.empty(3, device=STRICT)
_any.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
for _packet in LOWER:
    _aten.impl(_packet, _lowered(_packet), "AutocastPrivateUse1")


def _made(make: Any, data: Any, dtype: Any = None, device: Any = None) -> Any:
    return make(data, dtype=dtype).to(device) if device is not None else make(data, dtype=dtype)


# They copy in C++, below what can be watched.
_tensor, _as_tensor, _new_tensor = torch.tensor, torch.as_tensor, torch.Tensor.new_tensor
torch.tensor = lambda data, *, dtype=None, device=None, **_: _made(_tensor, data, dtype, device)  # type: ignore[assignment]
torch.as_tensor = lambda data, dtype=None, device=None: _made(_as_tensor, data, dtype, device)  # type: ignore[assignment]
torch.Tensor.new_tensor = lambda self, data, *, dtype=None, **_: _made(_tensor, data, dtype or self.dtype, self.device)  # type: ignore[assignment,method-assign]


def report() -> str:
    """The counts, most frequent first."""
    return "\n".join(
        line
        for what in sorted(counts)
        for line in [
            f"{what}: {counts[what].total()}",
            *(f"  {n:6} {where}" for where, n in counts[what].most_common(40)),
        ]
    )
