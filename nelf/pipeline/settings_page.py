"""All settings on one page: for the terminal (`nelf config`) and as docs/settings.md."""

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from nelf.core.errors import ConfigError
from nelf.core.settings import shown
from nelf.pipeline.config import FAMILIES, Config, compose_config, config_folder, known_settings
from nelf.pipeline.explain import Entry, choices_of, entries, unknown_key

HEAD = """# Settings

Every setting with its default, allowed values, and meaning. `nelf config` prints them, `nelf config train` one group
of it. Add a setting to any command: `nelf run my_photos train.max_minutes=5`.

`nelf config --markdown > docs/settings.md` generates this page. A test keeps it current.
"""
WIDEST = 100


@dataclass(frozen=True)
class Section:
    """One group of settings. title: such as "teacher=nerf". choices: names for GROUP=NAME."""

    group: str
    title: str
    about: str
    choices: tuple[str, ...]
    settings: tuple[Entry, ...]
    composed: DictConfig

    def default(self, entry: Entry) -> str:
        """The value without any override."""
        value = OmegaConf.select(self.composed, entry.key, throw_on_missing=False)
        return entry.default_text if value is None else shown(OmegaConf.to_object(value) if _is_list(value) else value)


def as_text(group: str | None, width: int | None = None) -> str:
    """Text for the terminal. group: only settings of this group, or this setting. Raises ConfigError if unknown."""
    width = width or min(WIDEST, shutil.get_terminal_size().columns)
    others, lines = other_defaults(), []
    for section in sections((group or "").partition(".")[0]):
        chosen = [e for e in section.settings if group is None or e.key == group or e.key.startswith(f"{group}.")]
        if not chosen:
            continue
        lines += textwrap.wrap(f"{section.title}: {section.about}", width)
        if section.choices:
            lines += textwrap.wrap(f"{section.group}= one of {', '.join(section.choices)}", width)
        for entry in chosen:
            said = [f"{entry.key}={section.default(entry)}", f"use {entry.allowed}", entry.sentence]
            lines += ["", said[0]]
            for text in (*said[1:], *_elsewhere(entry, section, others)):
                lines += textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")
        lines.append("")
    if not lines:
        raise ConfigError(unknown_key(group or "", known_settings()))
    return "\n".join(lines[:-1])


def as_markdown() -> str:
    """The page in Markdown."""
    others, lines = other_defaults(), [HEAD]
    for section in sections():
        lines += [f"## {section.title}", "", section.about, ""]
        if section.choices:
            lines += [f"`{section.group}=` one of {', '.join(f'`{name}`' for name in section.choices)}.", ""]
        lines += ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
        for entry in section.settings:
            meaning = " ".join([entry.sentence, *(f"{text}." for text in _elsewhere(entry, section, others))])
            default = f"`{text}`" if (text := section.default(entry)) else "none"
            lines.append(f"| `{entry.key}` | {default} | {_cell(entry.allowed)} | {_cell(meaning)} |")
        lines.append("")
    return "\n".join(lines)


def sections(only: str = "") -> Iterator[Section]:
    """In the order of the whole configuration; one section for each family of teachers and of students.

    only: a group, since composing the choices of others takes time; all where it is empty.
    """
    plain = Config()
    found = list(entries(plain))
    composed = compose_config([])
    top = tuple(e for e in found if "." not in e.key and not e.is_group)
    yield Section("", "general", "Name and folder of a run.", (), top, composed)
    for group in (e for e in found if "." not in e.key and e.is_group):
        if only not in ("", group.key):
            continue
        choices = tuple(choices_of(group.key, config_folder()))
        if group.key in FAMILIES:
            each = {name: compose_config([f"{group.key}={name}"]) for name in (composed[group.key].name, *choices)}
            for kind in FAMILIES[group.key].values():
                name, chosen = next(one for one in each.items() if OmegaConf.get_type(one[1][group.key]) is kind)
                settings = tuple(entries(kind(), f"{group.key}."))
                yield Section(group.key, f"{group.key}={name}", _about(kind), choices, settings, chosen)
            continue
        settings = tuple(e for e in found if e.key.startswith(f"{group.key}.") and not e.is_group)
        yield Section(group.key, group.key, group.sentence, choices, settings, composed)


def other_defaults() -> dict[str, list[tuple[str, str]]]:
    """Key -> (where, value): other defaults, from a choice of a group or from the scene's type."""
    found: dict[str, list[tuple[str, str]]] = {}
    pairs = (f"scene_type_{other}" for other in ("teacher", "student", "train"))
    for group in ("student", "train", "scene_type", *pairs):
        for name in choices_of(group, config_folder()):
            content = OmegaConf.load(config_folder() / group / f"{name}.yaml")
            where = _where(group, name)
            prefix = "" if group.startswith("scene_type") or group == "student" else f"{group}."  # rooted YAML
            for key, value in _flat(OmegaConf.to_container(content), prefix):
                found.setdefault(key, []).append((where, shown(value)))
    return found


def _where(group: str, name: str) -> str:
    """What must be chosen for the defaults in a file to hold."""
    if not group.startswith("scene_type"):
        return f"{group}={name}"
    kind = next(kind for kind in choices_of("scene_type", config_folder()) if name.startswith(kind))
    choice = name.removeprefix(kind).removeprefix("-")
    return f"{kind} scenes" + (f" with {group.removeprefix('scene_type_')}={choice}" if choice else "")


def _elsewhere(entry: Entry, section: Section, others: dict[str, list[tuple[str, str]]]) -> list[str]:
    default = section.default(entry)
    return [f"{where}: {value}" for where, value in others.get(entry.key, []) if value != default]


def _flat(content: object, prefix: str) -> Iterator[tuple[str, object]]:
    assert isinstance(content, dict)
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif name != "defaults":
            yield f"{prefix}{name}", value


def _is_list(value: object) -> bool:
    return OmegaConf.is_list(value)


def _about(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
