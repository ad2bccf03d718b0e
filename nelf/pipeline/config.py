"""The whole configuration: one dataclass per stage, filled by Hydra from configs/ and the command line."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nelf.core.errors import ConfigError
from nelf.core.settings import DeviceConfig, FolderPath, PlainName, check, setting
from nelf.distill.config import DistillConfig
from nelf.evaluate.config import EvalConfig
from nelf.export.config import ExportConfig
from nelf.pipeline.explain import Entry, entries, explain, unknown_key
from nelf.scene.config import PhotosConfig, SceneConfig
from nelf.student.config import StudentConfig
from nelf.student.families import STUDENT_CONFIGS, family_of
from nelf.teacher.config import TEACHER_CONFIGS, TeacherConfig
from nelf.train.config import TrainConfig

ROOT = "config"


@dataclass
class Config:
    """Everything that a run depends on."""

    name: str | None = setting(None, PlainName())
    """Name of the run; null takes the scene's name."""
    runs: str = setting("runs", FolderPath())
    """Folder that holds the runs."""
    scene: SceneConfig = field(default_factory=lambda: SceneConfig(path=MISSING))
    """Which photos."""
    photos: PhotosConfig = field(default_factory=PhotosConfig)
    """How to find poses of photos without them."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """NeRF trained on the photos; teacher=NAME selects its configuration."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """Pseudo views that the teacher renders."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """Network distilled from them."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How to train it."""
    export: ExportConfig = field(default_factory=ExportConfig)
    """Bundles to export."""
    eval: EvalConfig = field(default_factory=EvalConfig)
    """How to measure models."""
    device: DeviceConfig = field(default_factory=DeviceConfig)
    """Where to compute."""

    def __post_init__(self) -> None:
        check(self, "")


FAMILIES: dict[str, dict[str, type]] = {"teacher": {**TEACHER_CONFIGS}, "student": {**STUDENT_CONFIGS}}
"""Group -> family -> its configuration. Every choice of the group starts from one of these."""


def register() -> None:
    """Register the dataclasses with Hydra, so that it checks every key and type."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, families in FAMILIES.items():
        for name, schema in families.items():
            store.store(group=group, name=f"{name}_schema", node=schema)


def config_folder() -> Path:
    """Folder of the shipped YAML files: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration. Raises ConfigError, one line, for anything that Hydra refuses."""
    register()
    with one_line_errors(overrides):
        if GlobalHydra.instance().is_initialized():  # inside a sweep
            return compose(ROOT, overrides=list(overrides))
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose(ROOT, overrides=list(overrides))


@contextlib.contextmanager
def one_line_errors(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf into ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides, known_settings(), config_folder())) from error
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        # Some values crash Hydra itself: student=3.5, teacher=''.
        if not overrides:
            raise
        raise ConfigError(explain(error, overrides, known_settings(), config_folder())) from error


def typed(composed: DictConfig) -> Config:
    """The dataclasses of a composed configuration; each checks itself. Raises ConfigError."""
    _check_keys(composed)
    with one_line_errors():
        config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    name = config.teacher.name
    if type(config.teacher) is not TEACHER_CONFIGS.get(name):
        choices = "|".join(TEACHER_CONFIGS)
        raise ConfigError(f"teacher.name={name} cannot be set by itself; choose with teacher={choices}")
    family_of(config.student)
    return config


def _check_keys(node: DictConfig, prefix: str = "") -> None:
    """Raise ConfigError for a key that no dataclass has (Hydra accepts it after +), or for a key that was removed."""
    names = {field.name for field in dataclasses.fields(OmegaConf.get_type(node))}
    for name in node:
        if name not in names:
            raise ConfigError(unknown_key(f"{prefix}{name}", known_settings()))
        inner = node._get_node(name)  # the value may be missing
        if isinstance(inner, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(inner)):
            _check_keys(inner, f"{prefix}{name}.")
    for name in sorted(names - set(node)):
        raise ConfigError(f"{prefix}{name}: a setting cannot be removed; give another value instead")


def known_settings() -> dict[str, Entry]:
    """Key -> Entry of every setting that any choice of the config groups has."""
    found = {entry.key: entry for entry in entries(Config())}
    for group, families in FAMILIES.items():
        for schema in families.values():
            for entry in entries(schema(), f"{group}."):
                found.setdefault(entry.key, entry)
    return found


def as_yaml(composed: DictConfig) -> str:
    """YAML for people and for config.yaml."""
    return OmegaConf.to_yaml(composed)
