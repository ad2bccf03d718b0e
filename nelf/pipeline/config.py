"""The whole configuration: one dataclass a stage, filled by Hydra from configs/ and the command line."""

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nelf.core.device_config import DeviceConfig
from nelf.core.settings import PlainName, check, setting
from nelf.data.config import SceneConfig
from nelf.distill.config import DistillConfig
from nelf.errors import ConfigError
from nelf.evaluate.config import EvalConfig
from nelf.export.config import ExportConfig
from nelf.photos.config import PhotosConfig
from nelf.student.config import StudentConfig
from nelf.teacher.config import TEACHER_CONFIGS, TeacherConfig
from nelf.train.config import TrainConfig

ROOT = "config"


@dataclass
class Config:
    """Everything that a run depends on."""

    name: str | None = setting(None, PlainName())
    """Name of the run; null names it after the scene."""
    runs: str = "runs"
    """Folder that holds the runs."""
    scene: SceneConfig = field(default_factory=lambda: SceneConfig(path=MISSING))
    """Which photos."""
    photos: PhotosConfig = field(default_factory=PhotosConfig)
    """How poses are found where the photos have none."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """NeRF that is trained on the photos; teacher=NAME brings the configuration of that one."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """Pseudo views that it renders."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """Network that is distilled from them."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How it is trained."""
    export: ExportConfig = field(default_factory=ExportConfig)
    """What leaves the run."""
    eval: EvalConfig = field(default_factory=EvalConfig)
    """How models are measured."""
    device: DeviceConfig = field(default_factory=DeviceConfig)
    """Where things are computed."""

    def __post_init__(self) -> None:
        check(self, "")


def register() -> None:
    """Make the dataclasses known to Hydra, so that it checks every key and type."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in TEACHER_CONFIGS.items():
        store.store(group="teacher", name=f"{name}_schema", node=schema)


def config_folder() -> Path:
    """Where the shipped YAML files are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration. Raises ConfigError, one line, for anything that Hydra refuses."""
    register()
    with _surprises_in_one_line(overrides), one_line_errors():
        if GlobalHydra.instance().is_initialized():  # inside a sweep, Hydra is already at work
            return compose(ROOT, overrides=list(overrides))
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose(ROOT, overrides=list(overrides))


@contextlib.contextmanager
def _surprises_in_one_line(overrides: Sequence[str]) -> Iterator[None]:
    """Hydra takes some values for impossible and fails on them in its own midst: student=3.5, teacher=''."""
    try:
        yield
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{' '.join(' '.join(overrides).split())}: not understood ({_one_line(error)})") from error


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error


def typed(composed: DictConfig) -> Config:
    """The dataclasses of a composed configuration; each checks itself. Raises ConfigError."""
    with one_line_errors():
        config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    name = config.teacher.name
    if type(config.teacher) is not TEACHER_CONFIGS.get(name):
        raise ConfigError(
            f"teacher.name={name} is not to be set by itself; choose with teacher={'|'.join(TEACHER_CONFIGS)}"
        )
    return config


def as_yaml(composed: DictConfig) -> str:
    """For people and for config.yaml."""
    return OmegaConf.to_yaml(composed)


def _explain(error: Exception) -> str:
    """Hydra's message in one line, with the nearest key that exists where it says that one does not."""
    text = _one_line(error)
    if text.startswith("Error merging override") and error.__cause__ is not None:
        text = f"{text.removeprefix('Error merging override ')}: {_one_line(error.__cause__)}"
    if isinstance(error, OverrideParseException) and error.override not in text:
        text = f"{' '.join(error.override.split())}: {text}"
    unknown = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if unknown:
        folder = config_folder() / unknown[1]
        known = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
        return f"{unknown[1]}={unknown[2]} is not known; use one of {', '.join(known)}"
    missing = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' (?:is )?not in", text)
    if missing:
        near = difflib.get_close_matches(missing[1], _all_keys() - {missing[1]}, n=3, cutoff=0.75)
        text += f" Did you mean {' or '.join(near)}?" if near else " `nelf run SCENE --cfg job` prints all keys."
    return text


def _all_keys() -> set[str]:
    """Every key that some choice of the config groups has."""
    return {*_keys(Config()), *(key for schema in TEACHER_CONFIGS.values() for key in _keys(schema(), "teacher."))}


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    text = re.sub(r" (full_key|reference_type|object_type)[:=].*", "", text)
    return re.split(r" To append to your config use| Config search path:", text)[0]


def _keys(value: Any, prefix: str = "") -> list[str]:
    keys = []
    for item in dataclasses.fields(value):
        keys.append(prefix + item.name)
        inner = getattr(value, item.name)
        if dataclasses.is_dataclass(inner):
            keys += _keys(inner, f"{prefix}{item.name}.")
    return keys
