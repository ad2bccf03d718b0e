"""Every number in every configuration: nonsense is refused in one line, before any work and before PyTorch."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from nelf.core.errors import ConfigError
from nelf.core.settings import OneOf, Range, value_types
from nelf.pipeline import compose_config, config_folder, typed
from nelf.pipeline.config import known_settings, one_line_errors
from nelf.pipeline.explain import Entry
from nelf.pipeline.settings_page import as_markdown
from nelf.student import STUDENT_CONFIGS
from nelf.teacher.config import TEACHER_CONFIGS
from tests.pipeline.commands import refused_at_once, works

ROOT = config_folder().parent
NUMBERS = [
    entry
    for entry in known_settings().values()
    if not entry.is_group and {int, float} & set(value_types(entry.owner, entry.field.name))
]
NONSENSE = ("-1", "0", "nan", "inf", "1e30")
STUDENTS = {
    typed(compose_config(["scene.path=nowhere", f"student={path.stem}"])).student.family: path.stem
    for path in sorted((config_folder() / "student").glob("*.yaml"), reverse=True)
}
"""Family of students -> a preset of it."""


@pytest.fixture(scope="module")
def composed() -> dict[str, DictConfig]:
    """The configuration with each teacher and with each family of students."""
    choices = [f"teacher={name}" for name in TEACHER_CONFIGS] + [f"student={name}" for name in STUDENTS.values()]
    return {choice: compose_config(["scene.path=nowhere", choice]) for choice in choices}


def choice_of(entry: Entry) -> str:
    """A choice of a group that has the setting."""
    teacher = next((name for name, kind in TEACHER_CONFIGS.items() if kind is entry.owner), "instant_ngp")
    student = next((family for family, kind in STUDENT_CONFIGS.items() if kind is entry.owner), None)
    return f"teacher={teacher}" if student is None else f"student={STUDENTS[student]}"


def is_inside(entry: Entry, value: float) -> bool:
    """Whether a field allows this value."""
    said = entry.setting
    assert said is not None, f"{entry.key} does not declare what it allows"
    assert isinstance(said.allowed, Range | OneOf)
    return said.allowed.fault(value) is None


def test_there_are_numbers() -> None:
    assert len(NUMBERS) > 80
    assert STUDENTS.keys() == STUDENT_CONFIGS.keys()
    wanted = {"teacher.max_minutes", "teacher.depth", "train.finetune.lr", "scene.near", "scene.up"}
    assert wanted | {"student.fine_nodes", "student.num_frequencies"} <= {e.key for e in NUMBERS}


def refusal(config: DictConfig, entry: Entry, text: str) -> str | None:
    """The message about a setting's value; None if it is accepted."""
    value = int(text) if text.lstrip("-").isdigit() else float(text)
    changed = copy.deepcopy(config)
    try:
        with one_line_errors([f"{entry.key}={text}"]):
            OmegaConf.update(changed, entry.key, [value] * 3 if entry.key == "scene.up" else value)
        typed(changed)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("entry", NUMBERS, ids=lambda entry: f"{entry.owner.__name__}.{entry.key}")
def test_nonsense_is_refused_in_one_line(entry: Entry, composed: dict[str, DictConfig]) -> None:
    choice = choice_of(entry)
    for text in NONSENSE:
        message = refusal(composed[choice], entry, text)
        if message is None:
            assert is_inside(entry, float(text)), f"{entry.key}={text} was taken"
        else:
            assert "\n" not in message
            assert len(message) < 300
            assert entry.field.name in message
    with pytest.raises(ConfigError) as refused:
        typed(compose_config(["scene.path=nowhere", choice, f"{entry.key}=many"]))
    assert str(refused.value).startswith(f"{entry.key}=many is not allowed; use ")
    assert "\n" not in str(refused.value)


def test_every_setting_has_its_sentence() -> None:
    assert not [entry.key for entry in known_settings().values() if not entry.sentence.endswith(".")]


@pytest.mark.slow
def test_the_page_has_every_setting() -> None:
    page = as_markdown()
    assert works("config", "--markdown").out == page
    rows = set(re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE))
    assert rows == {key for key, entry in known_settings().items() if not entry.is_group}


@pytest.mark.slow
def test_config_prints_a_group() -> None:
    text = works("config", "train").out
    assert "train.finetune.max_steps=300" in text
    assert "use a number above 0, at most 43200 minutes, or null" in text
    assert "train=mobiler2l: 10" in text
    assert "teacher" not in text.partition("train.max_steps")[0]
    assert max(map(len, text.splitlines())) <= 100
    assert "train.finetune.lr" in works("config", "train.finetune").out
    assert "teacher.depth=8" in works("config", "teacher").out
    assert "forward-facing scenes: 600" in works("config", "distill.views").out
    assert refused_at_once("config", "trian.steps") == "trian.steps is not a setting; did you mean train.max_steps?"


LIGHT = [
    f"nelf.{module}"
    for module in (
        *(f"{stage}.config" for stage in ("scene", "teacher", "distill", "student", "train", "export", "evaluate")),
        "core.settings",
        "pipeline.explain",
    )
]


def test_a_configuration_does_not_import_torch() -> None:
    code = f"import sys; import {', '.join(LIGHT)}; assert not {{'torch', 'numpy', 'numba'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    "override", ["teacher.max_minutes=-1", "train.max_minutes=nan", "distill.views=100000000", "name=../evil", "+foo=1"]
)
def test_a_command_refuses_it_before_it_loads_torch(override: str, tmp_path: Path) -> None:
    """In CPU time, which a busy machine changes less; benchmarks/startup.py measures wall time."""
    command = [sys.executable, "-X", "importtime", "-m", "nelf", "run", str(ROOT / "datasets" / "stilllife"), override]
    before = os.times()
    result = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    after = os.times()
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    assert len(lines) == 1
    assert lines[0].startswith("nelf: ")
    assert "| torch" not in result.stderr
    assert after.children_user + after.children_system - before.children_user - before.children_system < 6
    assert list(tmp_path.iterdir()) == []
