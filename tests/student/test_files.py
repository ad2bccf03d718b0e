"""A student on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nelf.errors import CheckpointError
from nelf.student import (
    Frame,
    Mapping,
    NeLF,
    StudentConfig,
    check_same_architecture,
    load_student,
    save_student,
)
from nelf.student.files import FORMAT
from tests.student.frames import cameras, frame


@pytest.fixture
def model() -> NeLF:
    return NeLF(StudentConfig(width=16, blocks=1), frame(size=(18, 26), channels=4)).eval()


def test_round_trip(tmp_path: Path, model: NeLF) -> None:
    path = tmp_path / "deep" / "student.safetensors"
    save_student(path, model)
    loaded = load_student(path)
    assert loaded.config == model.config
    assert loaded.frame == model.frame
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(model(cameras(2)), loaded(cameras(2)))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_channels_last_weights_are_saved_alike(tmp_path: Path, model: NeLF) -> None:
    save_student(tmp_path / "a", model)
    save_student(tmp_path / "b", model.to(memory_format=torch.channels_last))
    first, second = load_file(tmp_path / "a"), load_file(tmp_path / "b")
    assert all(first[key].is_contiguous() and torch.equal(first[key], second[key]) for key in first | second)


@pytest.mark.parametrize("mapping", list(Mapping))
def test_frame_round_trip(mapping: Mapping) -> None:
    made = frame(mapping)
    assert Frame.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_frame_of_other_content() -> None:
    with pytest.raises(ValueError, match="frame has keys"):
        Frame.from_dict({"height": 3})


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no .*nelf train"):
        load_student(tmp_path / "student.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_cut_short(tmp_path: Path, model: NeLF, share: float) -> None:
    path = tmp_path / "student.safetensors"
    save_student(path, model)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"cut short or damaged.*nelf train"):
        load_student(path)


def test_foreign(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(CheckpointError, match=r"has format None, expected 'nelf-student-1'"):
        load_student(path)


@pytest.mark.parametrize(
    "about",
    [
        "{}",
        "not json",
        "[]",
        '{"config": [], "frame": {}}',
        '{"config": {"width": 16, "blocks": 1, "colour": 3}, "frame": {}}',
        '{"config": {"body": "resnet"}, "frame": {}}',
    ],
)
def test_damaged_metadata(tmp_path: Path, about: str) -> None:
    path = tmp_path / "student.safetensors"
    form = f'{{"format": "{FORMAT}", '
    save_file({"weight": torch.ones(3)}, path, {"nelf": about.replace("{", form, 1) if about[:3] == '{"c' else about})
    with pytest.raises(CheckpointError, match=r"cannot read|damaged"):
        load_student(path)


def test_weights_of_another_architecture(tmp_path: Path, model: NeLF) -> None:
    path = tmp_path / "student.safetensors"
    save_student(path, model)
    weights = load_file(path)
    about = {"format": FORMAT, "config": {"width": 32, "blocks": 1}, "frame": model.frame.as_dict()}
    save_file(weights, path, {"nelf": json.dumps(about)})
    with pytest.raises(CheckpointError, match=r"is of another architecture: \S+ is \(16.*needs \(32"):
        load_student(path)


def test_check_same_architecture(model: NeLF) -> None:
    path = Path("x")
    check_same_architecture(path, model.state_dict(), model)
    wider = NeLF(StudentConfig(width=32, blocks=1), model.frame)
    with pytest.raises(
        CheckpointError, match=r"x is of another architecture: body\.\S+ is \(32,.*student=m needs \(16,"
    ):
        check_same_architecture(path, wider.state_dict(), model)
    deeper = NeLF(StudentConfig(width=16, blocks=2), model.frame)
    with pytest.raises(CheckpointError, match="is absent, student=m needs"):
        check_same_architecture(path, deeper.state_dict(), model)
