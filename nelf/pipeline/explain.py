"""Hydra's errors in the words of users, and what can be chosen."""

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import OverrideParseException

from nelf.core.settings import Setting, allowed_values, declared, remedy, shown


@dataclass(frozen=True)
class Entry:
    """One field of a configuration, or of a configuration inside it.

    key: as on the command line, such as train.finetune.steps. owner: the class that has the field. default: its value
    where nothing is said.
    """

    key: str
    owner: type
    field: "dataclasses.Field[Any]"
    default: Any

    @property
    def is_group(self) -> bool:
        """Whether it holds settings itself."""
        return dataclasses.is_dataclass(self.default)

    @property
    def setting(self) -> Setting | None:
        return declared(self.field)

    @property
    def allowed(self) -> str:
        """Such as "a number from 0 to 1"."""
        return allowed_values(self.owner, self.field)

    @property
    def default_text(self) -> str:
        """As on the command line; "" where there is no default."""
        return "" if self.default == "???" else shown(self.default)

    @property
    def sentence(self) -> str:
        """What the class says under the field."""
        return sentences(self.owner).get(self.field.name, "")


def entries(config: Any, prefix: str = "") -> Iterator[Entry]:
    """Those of a configuration and of all configurations inside it, in the order of their classes."""
    for field in dataclasses.fields(config):
        entry = Entry(prefix + field.name, type(config), field, getattr(config, field.name))
        yield entry
        if entry.is_group:
            yield from entries(entry.default, f"{entry.key}.")


@functools.cache
def sentences(kind: type) -> dict[str, str]:
    """What stands under each field of a dataclass, in one line; of inherited fields, too."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if dataclasses.is_dataclass(one):
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
            assert isinstance(tree.body[0], ast.ClassDef)
            body = tree.body[0].body
            for node, below in itertools.pairwise(body):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found[node.target.id] = _text(below)
    return found


def _text(node: ast.stmt) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return " ".join(node.value.value.split()) if is_text else ""  # type: ignore[attr-defined]


LIST = "`nelf config` lists all settings"


def explain(error: Exception, overrides: Sequence[str], known: Mapping[str, Entry], folder: Path) -> str:
    """One line about what is wrong with `overrides`.

    known: every key that some choice of the config groups has. folder: with a folder for each of these groups.
    """
    for override in overrides:
        if not override.lstrip("+~").startswith(("hydra.", "hydra/")):
            said = _wrong_form(override, known, folder) or _wrong_key(override, known, folder)
            if said is not None:
                return said
    text = one_line(error)
    if isinstance(error, OverrideParseException):
        return f"{_short(error.override)} is not understood; put quotes around a value that holds , = or brackets"
    several = re.match(r"Ambiguous value for argument '([^']+)'", text)
    if several:
        return f"{_short(several[1])} has several values; add --multirun for a run of each, or write a list as [1,2]"
    merged = re.match(r"Error merging override (.*)", text)
    wrong = merged[1] if merged else _of_key(getattr(error, "full_key", None), overrides)
    if wrong and (said := _wrong_value(wrong, known)) is not None:
        return said
    refused = re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is )?not in", text)
    if refused:
        return unknown_key(getattr(error.__cause__, "full_key", None) or refused[1] or refused[2], known)
    if "mandatory value: path" in text:
        return "no scene is given; name its folder, or set scene.path"
    return f"{_short(' '.join(overrides)) or 'the configuration'} is not understood ({text})"


def unknown_key(key: str, known: Mapping[str, Entry]) -> str:
    """What to say about a key that the configuration does not have."""
    if key in known:
        group = key.partition(".")[0]
        return f"{key} is not a setting of this {group}; `nelf config {group}` lists those of each choice"
    near = difflib.get_close_matches(key, set(known), n=3, cutoff=0.75)
    return f"{key} is not a setting; " + (f"did you mean {' or '.join(near)}?" if near else LIST)


def one_line(error: BaseException) -> str:
    """An exception's message in one line, without what only Hydra's own developers can use."""
    text = " ".join(str(error).split())
    text = re.sub(r" (full_key|reference_type|object_type)[:=].*", "", text)
    return re.split(r" To append to your config use| Config search path:", text)[0]


def choices_of(group: str, folder: Path) -> list[str]:
    """Names that can be chosen for a config group; none where there is no such group."""
    files = (folder / group).rglob("*.yaml") if group.isidentifier() else ()
    return sorted(path.relative_to(folder / group).with_suffix("").as_posix() for path in files)


def _of_key(key: str | None, overrides: Sequence[str]) -> str | None:
    return next((one for one in reversed(overrides) if key and one.lstrip("+").startswith(f"{key}=")), None)


def _wrong_form(override: str, known: Mapping[str, Entry], folder: Path) -> str | None:
    key = override.partition("=")[0].lstrip("+~").strip()
    if override.startswith("~"):
        return f"{_short(override)}: a setting cannot be removed; leave that out, or give another value"
    if "=" not in override or not key:
        choices = choices_of(key, folder)
        if choices:
            return f"{_short(override)} lacks a value; write {key}=NAME with one of {', '.join(choices)}"
        wanted = f"write {key}=VALUE" if key in known else f"settings are written KEY=VALUE; {LIST}"
        return f"{_short(override) or repr(override)} lacks a value; {wanted}"
    if override.startswith("+") and (key in known or choices_of(key, folder)):
        return f"{_short(override)}: leave the + out, the setting is there"
    return None


def _wrong_key(override: str, known: Mapping[str, Entry], folder: Path) -> str | None:
    key, _, value = (part.strip() for part in override.lstrip("+").partition("="))
    if choices := choices_of(key, folder):
        if value.startswith("{") or value.strip("'\"") in choices or value == "null":
            return None
        return f"{_short(override)} is not known; use one of {', '.join(choices)}"
    if key in known:
        return None
    return unknown_key(_short(key), known)


def _wrong_value(override: str, known: Mapping[str, Entry]) -> str | None:
    """Of an override whose value has the wrong type."""
    key, _, value = (part.strip() for part in override.lstrip("+").partition("="))
    entry = known.get(key)
    if entry is None:
        return None
    if entry.is_group:
        inside = next(one for one in known if one.startswith(f"{key}."))
        return f"{_short(override)}: {key} has several settings, such as {inside}; `nelf config {key}` lists them"
    return f"{_short(key)}={_short(value)} is not allowed; {remedy(entry.owner, entry.field)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:100]}..."
