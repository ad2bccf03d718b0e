"""What Hydra and OmegaConf refuse, in the words of a user of nelf: what was given, what is allowed, what to do."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.errors import OverrideParseException

from nelf.core.settings import remedy
from nelf.pipeline.catalogue import Entry

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
