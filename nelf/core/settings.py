"""What the fields of a configuration allow: each field declares it, and one function checks them all.

    @dataclass
    class TrainConfig:
        minutes: float | None = setting(10.0, Positive(MOST_MINUTES), unit="minutes")
        \"\"\"Most minutes of stage 1; null: no limit by time.\"\"\"

        def __post_init__(self) -> None:
            check(self, "train")

After that the class itself checks what depends on several fields. Modules with configurations do not import torch, so
that a wrong value is refused at once. That is why they spell out names that a table of implementations has; the table
takes the names from there, or a test compares the two.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from nelf.core.errors import ConfigError
from nelf.core.files import LONGEST_NAME, is_plain_name

_KEY = "nelf.setting"
_LONGEST = 60  # characters of a value that a message quotes
MOST_MINUTES = 43_200.0  # thirty days
MOST_SEED = 2**32 - 1

T = TypeVar("T")


@runtime_checkable
class Allowed(Protocol):
    """The values that a field may have."""

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, such as "is too small"; None if it is allowed."""

    def describe(self, whole: bool, unit: str) -> str:
        """All allowed values, such as "a number from 0 to 1". whole: whether the field holds whole numbers."""


@dataclass(frozen=True)
class Range:
    """Finite numbers from `least` to `most`. open_start, open_end: that end is not allowed itself."""

    least: int | float
    most: int | float
    open_start: bool = False
    open_end: bool = False

    def __post_init__(self) -> None:
        assert -math.inf < self.least < self.most < math.inf

    def fault(self, value: Any) -> str | None:
        """See `Allowed`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is not a number"
        if not math.isfinite(value):
            return "is not a finite number"
        if value < self.least or (self.open_start and value == self.least):
            return "is too small"
        if value > self.most or (self.open_end and value == self.most):
            return "is too large"
        return None

    def describe(self, whole: bool, unit: str) -> str:
        """See `Allowed`."""
        return f"a {'whole ' if whole else ''}number {self.bounds(unit)}"

    def bounds(self, unit: str = "") -> str:
        """Such as "from 0 to 1"."""
        least, most = f"{self.least:.10g}", f"{self.most:.10g}{f' {unit}' if unit else ''}"
        if self.open_start:
            return f"above {least}{' and below' if self.open_end else ', at most'} {most}"
        return f"from {least} to {'below ' if self.open_end else ''}{most}"


class Positive(Range):
    """Numbers above 0, at most `most`."""

    def __init__(self, most: int | float) -> None:
        super().__init__(0, most, open_start=True)


@dataclass(frozen=True)
class OneOf:
    """One of a few values, usually names."""

    values: tuple[Any, ...]

    def __init__(self, values: Iterable[Any]) -> None:
        object.__setattr__(self, "values", tuple(values))

    def fault(self, value: Any) -> str | None:
        """See `Allowed`."""
        return None if value in self.values else "is not known"

    def describe(self, whole: bool, unit: str) -> str:
        """See `Allowed`."""
        return f"one of {', '.join(map(str, self.values))}"


@dataclass(frozen=True)
class PlainName:
    """A name for one folder inside another; it cannot lead out of it."""

    def fault(self, value: Any) -> str | None:
        """See `Allowed`."""
        return None if isinstance(value, str) and is_plain_name(value) else "is not a plain name"

    def describe(self, whole: bool, unit: str) -> str:
        """See `Allowed`."""
        return f"the name of one folder, without / and \\, at most {LONGEST_NAME} bytes long"


@dataclass(frozen=True)
class FolderPath:
    """The path of a folder that may or may not exist."""

    def fault(self, value: Any) -> str | None:
        """See `Allowed`."""
        return None if isinstance(value, str) and value.strip() and "\0" not in value else "is not a path"

    def describe(self, whole: bool, unit: str) -> str:
        """See `Allowed`."""
        return "the path of a folder"


@dataclass(frozen=True)
class Setting:
    """What one field declares: which values it allows, in which unit, and advice for a wrong value.

    In a field that holds a list, this applies to each value.
    """

    allowed: Allowed
    unit: str = ""
    advice: str = ""


def setting(default: T, allowed: Allowed, unit: str = "", advice: str = "") -> T:
    """The default of a dataclass field, with what the field allows. Lists are copied for each instance."""
    metadata = {_KEY: Setting(allowed, unit, advice)}
    if isinstance(default, list):
        return typing.cast(T, dataclasses.field(default_factory=functools.partial(list, default), metadata=metadata))
    return dataclasses.field(default=default, metadata=metadata)


def declared(field: "dataclasses.Field[Any]") -> Setting | None:
    """What a field declares about its values; None if nothing."""
    found: Setting | None = field.metadata.get(_KEY)
    return found


def check(config: Any, prefix: str) -> None:
    """Raise ConfigError, one line, for the first field of `config` whose value is not allowed.

    prefix: the key of `config` on the command line, such as "train.finetune"; "" for the whole configuration.
    """
    for field in dataclasses.fields(config):
        if (said := declared(field)) is None:
            continue
        value, key = getattr(config, field.name), f"{prefix}.{field.name}".lstrip(".")
        if value is None and takes_null(type(config), field.name):
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            if (fault := _type_fault(type(config), field.name, one) or said.allowed.fault(one)) is not None:
                which = f": {shown(one)}" if isinstance(value, list | tuple) and len(value) > 1 else ""
                raise ConfigError(f"{key}={shown(value)}{which} {fault}; {remedy(type(config), field)}")


def remedy(kind: type, field: "dataclasses.Field[Any]") -> str:
    """What to use instead of a wrong value of a field."""
    said = declared(field)
    return f"use {allowed_values(kind, field)}{f'; {said.advice}' if said is not None and said.advice else ''}"


def allowed_values(kind: type, field: "dataclasses.Field[Any]") -> str:
    """Such as "a whole number from 1 to 8, or null". Follows from the type when the field declares nothing."""
    said, types_ = declared(field), value_types(kind, field.name)
    if said is not None:
        text = said.allowed.describe(int in types_, said.unit)
        text = text if not is_list(kind, field.name) else f"a list, each {text}"
    elif is_list(kind, field.name):
        text = "a list"
    else:
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        text = " or ".join(names.get(one, one.__name__) for one in types_)
    return text + (", or null" if takes_null(kind, field.name) else "")


def takes_null(kind: type, name: str) -> bool:
    """Whether a field's annotation allows None."""
    return type(None) in _alternatives(_hints(kind)[name])


def is_list(kind: type, name: str) -> bool:
    """Whether a field holds a list."""
    return any(typing.get_origin(one) is list for one in _alternatives(_hints(kind)[name]))


def value_types(kind: type, name: str) -> list[type]:
    """The types of a field's values, or of its list's values, without None."""
    found: list[type] = []
    for one in _alternatives(_hints(kind)[name]):
        found += typing.get_args(one) if typing.get_origin(one) is list else [one]
    return [one for one in found if one is not type(None)]


def shown(value: Any) -> str:
    """A value as you write it on the command line, in one line and not too long."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = f"{value:.10g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _type_fault(kind: type, name: str, value: Any) -> str | None:
    """What Hydra would find: a fraction, a word or null in a field that cannot hold it."""
    types_ = value_types(kind, name)
    if value is None:
        return "is not allowed"
    if types_ == [int] and (isinstance(value, bool) or not isinstance(value, int)):
        return "is not a whole number"
    return None


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _alternatives(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        yield from typing.get_args(hint)
    else:
        yield hint


ACCELERATORS = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass
class DeviceConfig:
    """Where and in which precision to compute."""

    accelerator: str = setting("auto", OneOf(ACCELERATORS))
    """cpu, cuda or mps; auto takes the best one available."""
    devices: int = setting(1, Range(1, 1024))
    """Devices used on each machine, one process each; more than one trains in parallel (DDP). torchrun sets it if it
    started nelf."""
    num_nodes: int = setting(1, Range(1, 1024))
    """Machines that train together; each runs the same command. torchrun sets it if it started nelf."""
    precision: str = setting("auto", OneOf(PRECISIONS))
    """Precision of the student's training and of pseudo views (teachers train in float32): 32-true, bf16-mixed, or
    16-mixed (GPU only). auto: bf16-mixed on a CPU with bfloat16 instructions (AVX512_BF16, AMX) and on NVIDIA GPUs from
    compute capability 8.0, 16-mixed on 7.0 and 7.5, else 32-true."""
    threads: int | None = setting(None, Range(1, 1024))
    """CPU threads for PyTorch; null leaves the choice to PyTorch (OMP_NUM_THREADS)."""
    compile: bool = False
    """Compile networks with torch.compile: slower start, faster steps."""

    def __post_init__(self) -> None:
        check(self, "device")
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ConfigError("device.precision=16-mixed needs a GPU; use 32-true or bf16-mixed on the CPU")
