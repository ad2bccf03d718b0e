"""A run's closing advice follows from its figures."""

from pathlib import Path
from typing import Any

from nelf.distill import DistillConfig
from nelf.evaluate import ModelInfo
from nelf.pipeline import Config
from nelf.pipeline.closing import Figures, advice, closing_lines
from nelf.scene import SceneConfig
from nelf.student import StudentConfig
from nelf.teacher import TeacherConfig
from nelf.train import TrainConfig

RUN = Path("runs/my photos")


def told(config: Config | None = None, **changes: Any) -> list[tuple[str, str]]:
    """Advice for perfect figures, with `changes`."""
    figures: dict[str, Any] = {
        "teacher": 30.0,
        "student": 29.5,
        "student_to_teacher": 33.0,
        "student_in_training": 34.0,
        "teacher_in_training": 31.0,
        "bundles": {"ios": 29.5},
    }
    return advice(Figures(**{**figures, **changes}), config or some_config(), RUN)


def some_config(**parts: Any) -> Config:
    defaults = {
        "teacher": TeacherConfig(max_minutes=2.0),
        "distill": DistillConfig(views=700),
        "train": TrainConfig(max_minutes=None, max_steps=6000),
        "student": StudentConfig(name="m", larger="l"),
    }
    return Config(scene=SceneConfig(path="my photos"), **{**defaults, **parts})


def test_a_student_as_good_as_its_teacher_wants_a_better_teacher() -> None:
    assert told() == [
        (
            "the student is as good as its teacher (30.0 dB): train the teacher longer",
            "nelf run 'runs/my photos' teacher.max_minutes=4",
        )
    ]


def test_a_student_far_below_its_teacher_wants_more_steps_or_a_larger_network() -> None:
    found = told(student=26.0, student_to_teacher=28.0, student_in_training=28.5)
    assert found == [
        ("the student is 4.0 dB below its teacher: train it longer", "nelf run 'runs/my photos' train.max_steps=12000"),
        ("or use a larger student, which is slower", "nelf run 'runs/my photos' student=l"),
    ]
    largest = some_config(student=StudentConfig(name="l"), train=TrainConfig(max_steps=None, max_minutes=3.0))
    (only,) = told(largest, student=26.0, student_to_teacher=None)
    assert only[1] == "nelf run 'runs/my photos' train.max_minutes=6"
    capped = some_config(student=StudentConfig(name="l"), train=TrainConfig(max_steps=6000, max_minutes=3.0))
    (only,) = told(capped, student=26.0, student_to_teacher=None)
    assert only[1] == "nelf run 'runs/my photos' train.max_steps=12000 train.max_minutes=6"


def test_a_student_that_knows_only_what_it_saw_wants_more_views() -> None:
    ((text, command),) = told(student=26.0, student_to_teacher=28.0, student_in_training=34.0)
    assert text.startswith(
        "the student is within 34.0 dB of its teacher on pseudo views, but only 28.0 dB on test views"
    )
    assert command == "nelf run 'runs/my photos' distill.views=1400"
    limited = some_config(distill=DistillConfig(views=700, max_minutes=20.0))
    ((_, command),) = told(limited, student=26.0, student_to_teacher=28.0, student_in_training=34.0)
    assert command.endswith("distill.views=1400 distill.max_minutes=40")


def test_what_costs_most_comes_first() -> None:
    found = told(teacher_in_training=38.0, bundles={"ios": 29.5, "android-int8": 28.0})
    assert [command for _, command in found] == [
        "nelf data check 'my photos'",
        "nelf export 'runs/my photos' --target android --precision fp32",
        "nelf run 'runs/my photos' teacher.max_minutes=4",
    ]
    assert "38.0 dB on the photos it learns from, 30.0 dB on others" in found[0][0]


def test_without_a_teacher_of_its_own_nothing_is_said_of_it() -> None:
    assert told(teacher=None, student_to_teacher=None, teacher_in_training=None) == []


def test_the_table_and_the_next_command_fit_a_terminal() -> None:
    metrics = {
        "teacher": {"psnr": 30.334, "views": {"r_0": {}}},
        "student": {"psnr": 26.641, "views": {"r_0": {}}},
        "android-fp16": {"psnr": 26.64, "views": {"r_0": {}}},
        "ios": {"psnr": 26.64, "views": {"r_0": {}}},
    }
    models = {
        "teacher": ModelInfo(bytes=27_100_000, milliseconds=412.0),
        "student": ModelInfo(bytes=3_600_000, milliseconds=14.04),
        "android-fp16": ModelInfo(bytes=1_900_000, milliseconds=9.5),
        "ios": ModelInfo(bytes=1_850_000),
    }
    lines = closing_lines(metrics, models, [("more of it", "nelf run x")], RUN)
    assert lines == [
        "PSNR on 1 test views; ms per view on this machine, if measured:",
        "  model         PSNR dB      MB      ms",
        "  teacher         30.33   27.10   412.0",
        "  student         26.64    3.60    14.0",
        "  android-fp16    26.64    1.90     9.5",
        "  ios             26.64    1.85       -",
        "what would help most:",
        "  more of it",
        "      nelf run x",
        "report: runs/my photos/report.html",
        "next: nelf view 'runs/my photos'",
    ]
    assert max(map(len, lines)) <= 80
