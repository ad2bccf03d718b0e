"""Students on disk."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nelf.core.errors import CheckpointError
from nelf.student import STUDENTS, Mapping, SceneGeometry, Student, check_same_architecture, load_student, save_student
from nelf.student.files import FORMAT
from tests.student.frames import cameras, frame
from tests.student.small import all_levels, small_student


@pytest.fixture
def model() -> Student:
    return small_student(frame(size=(18, 26), channels=4)).eval()


@pytest.mark.parametrize("family", STUDENTS)
def test_round_trip(tmp_path: Path, family: str) -> None:
    model = small_student(frame(size=(18, 26), channels=4), family).eval()
    path = tmp_path / "deep" / "student.safetensors"
    save_student(path, model)
    loaded = load_student(path)
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert loaded.frame == model.frame
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(model(cameras(2)), loaded(cameras(2)))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_channels_last_weights_are_saved_alike(tmp_path: Path, model: Student) -> None:
    save_student(tmp_path / "a", model)
    save_student(tmp_path / "b", model.to(memory_format=torch.channels_last))
    first, second = load_file(tmp_path / "a"), load_file(tmp_path / "b")
    assert all(first[key].is_contiguous() and torch.equal(first[key], second[key]) for key in first | second)


@pytest.mark.parametrize("mapping", list(Mapping))
def test_frame_round_trip(mapping: Mapping) -> None:
    made = frame(mapping)
    assert SceneGeometry.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_frame_of_other_content() -> None:
    with pytest.raises(ValueError, match="frame has keys"):
        SceneGeometry.from_dict({"height": 3})


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no .*nelf train"):
        load_student(tmp_path / "student.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_cut_short(tmp_path: Path, model: Student, share: float) -> None:
    path = tmp_path / "student.safetensors"
    save_student(path, model)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"cut short or damaged.*nelf train"):
        load_student(path)


def test_foreign(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(CheckpointError, match=rf"has format None, expected '{FORMAT}'"):
        load_student(path)


def rewritten(path: Path, model: Student, **about: object) -> Path:
    """The student's file with other metadata."""
    save_student(path, model)
    known = {"format": FORMAT, "config": dataclasses.asdict(model.config), "frame": model.frame.as_dict()}
    save_file(load_file(path), path, {"nelf": json.dumps({**known, **about})})
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as error:
        load_student(path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert path.is_file(), "what cannot be read is not thrown away"


def test_the_former_format(tmp_path: Path, model: Student) -> None:
    """Students from before the families are other networks and cannot be converted."""
    former = {"width": 48, "blocks": 2, "body": "pyramid", "upsampler": "surface", "factor": 8, "points": 16}
    path = rewritten(tmp_path / "student.safetensors", model, format="nelf-student-1", config=former)
    refused(path, rf"has format 'nelf-student-1', expected '{FORMAT}'; train again with: nelf train RUN")


@pytest.mark.parametrize(
    "config",
    [
        {"family": "nerf"},
        {"width": 8},
        {"family": "mobiler2l", "fine_reader": "planes"},
        {"family": "hierarchical", "fine_reader": "cubes"},
        {"family": ["hierarchical"]},
        [],
    ],
)
def test_a_configuration_of_no_family(tmp_path: Path, model: Student, config: object) -> None:
    path = rewritten(tmp_path / "student.safetensors", model, config=config)
    refused(path, r"has a configuration that this version cannot read .*; train again with: nelf train RUN")


def test_weights_of_another_family(tmp_path: Path, model: Student) -> None:
    other = small_student(model.frame, "mobiler2l")
    path = rewritten(tmp_path / "student.safetensors", model, config=dataclasses.asdict(other.config))
    refused(path, r"has another architecture: \S+ is .*, student=mobiler2l needs ")


@pytest.mark.parametrize("change", [{"width": 16}, {"fine_nodes": 32}, {"fine_reader": "lines"}, {"cell": 4}])
def test_weights_of_another_architecture(tmp_path: Path, model: Student, change: dict[str, object]) -> None:
    config = {**dataclasses.asdict(model.config), **change}
    refused(rewritten(tmp_path / "student.safetensors", model, config=config), r"has another architecture: \S+ is ")


def test_tables_that_no_memory_holds(tmp_path: Path, model: Student) -> None:
    """A damaged file may ask for terabytes: shapes are compared before allocation."""
    huge = all_levels(nodes=1024, channels=256)
    config = {**dataclasses.asdict(model.config), **huge}
    refused(rewritten(tmp_path / "student.safetensors", model, config=config), r"has another architecture: \S+ is ")


@pytest.mark.parametrize("about", ["{}", "not json", "[]"])
def test_damaged_metadata(tmp_path: Path, about: str) -> None:
    path = tmp_path / "student.safetensors"
    save_file({"weight": torch.ones(3)}, path, {"nelf": about})
    refused(path, r"has format None|damaged")


def test_check_same_architecture(model: Student) -> None:
    path = Path("x")
    check_same_architecture(path, model.state_dict(), model)
    wider = small_student(model.frame, width=16)
    with pytest.raises(
        CheckpointError, match=r"x has another architecture: coarse\.\S+ is \(16,.*student=m needs \(8,"
    ):
        check_same_architecture(path, wider.state_dict(), model)
    deeper = small_student(model.frame, blocks=2)
    with pytest.raises(CheckpointError, match="is absent, student=m needs"):
        check_same_architecture(path, deeper.state_dict(), model)
