"""The whole configuration: one dataclass a stage, filled by Hydra from configs/ and the command line."""

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
    """Name of the run; null names it after the scene."""
    runs: str = setting("runs", FolderPath())
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


FAMILIES: dict[str, dict[str, type]] = {"teacher": {**TEACHER_CONFIGS}, "student": {**STUDENT_CONFIGS}}
"""Group -> name of a family of it -> its configuration. A choice of the group starts from one of these."""


def register() -> None:
    """Make the dataclasses known to Hydra, so that it checks every key and type."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, families in FAMILIES.items():
        for name, schema in families.items():
            store.store(group=group, name=f"{name}_schema", node=schema)


def config_folder() -> Path:
    """Where the shipped YAML files are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration. Raises ConfigError, one line, for anything that Hydra refuses."""
    register()
    with one_line_errors(overrides):
        if GlobalHydra.instance().is_initialized():  # inside a sweep, Hydra is already at work
            return compose(ROOT, overrides=list(overrides))
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose(ROOT, overrides=list(overrides))


@contextlib.contextmanager
def one_line_errors(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides, known_settings(), config_folder())) from error
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        # Hydra takes some values for impossible and fails on them in its own midst: student=3.5, teacher=''.
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
        raise ConfigError(f"teacher.name={name} is not to be set by itself; choose with teacher={choices}")
    family_of(config.student)
    return config


def _check_keys(node: DictConfig, prefix: str = "") -> None:
    """Raise ConfigError for a key that no dataclass has, which Hydra takes when it is written with +; for one that was
    removed, too."""
    names = {field.name for field in dataclasses.fields(OmegaConf.get_type(node))}
    for name in node:
        if name not in names:
            raise ConfigError(unknown_key(f"{prefix}{name}", known_settings()))
        inner = node._get_node(name)  # the value itself may be missing
        if isinstance(inner, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(inner)):
            _check_keys(inner, f"{prefix}{name}.")
    for name in sorted(names - set(node)):
        raise ConfigError(f"{prefix}{name}: a setting cannot be removed; leave that out, or give another value")


def known_settings() -> dict[str, Entry]:
    """Key -> Entry of every setting that some choice of the config groups has."""
    found = {entry.key: entry for entry in entries(Config())}
    for group, families in FAMILIES.items():
        for schema in families.values():
            for entry in entries(schema(), f"{group}."):
                found.setdefault(entry.key, entry)
    return found


def as_yaml(composed: DictConfig) -> str:
    """For people and for config.yaml."""
    return OmegaConf.to_yaml(composed)
