"""Runs: opened from a scene or from their own folder, with defaults by scene type."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from nelf.core.errors import ConfigError
from nelf.pipeline import Run, is_run, new_student, quoted
from nelf.pipeline import config as config_module
from nelf.pipeline.export_stage import bundle_context, golden_poses
from nelf.pipeline.overrides import last_of_each_key, read_overrides
from nelf.scene import SceneType
from tests.scenes import make_blender_scene, make_colmap_scene, make_llff_scene, make_nerfstudio_scene

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blender_scene(tmp_path_factory.mktemp("scenes") / "ball", views=(8, 2, 2))


@pytest.fixture
def runs(tmp_path: Path) -> str:
    return f"runs={tmp_path / 'runs'}"


def test_named_after_the_scene(ball: Path, runs: str, tmp_path: Path) -> None:
    run = Run.open(ball, [runs])
    assert run.folder == tmp_path / "runs" / "ball"
    assert run.scene.type is SceneType.OBJECT
    assert run.bounded
    assert not run.folder.exists()  # looking writes nothing
    assert Run.open(ball, [runs, "name=other"]).folder == tmp_path / "runs" / "other"
    assert Run.open(ball, [runs, "scene.name=thing"]).folder == tmp_path / "runs" / "thing"


def test_opened_from_its_folder_with_what_was_asked_for(ball: Path, runs: str) -> None:
    first = Run.open(ball, [runs, "train.max_steps=7", "student=s"])
    assert not is_run(first.folder)
    first.prepare()
    assert is_run(first.folder)
    again = Run.open(first.folder, ["train.max_steps=9"])
    assert again.folder == first.folder
    assert again.scene.root == first.scene.root
    assert again.config.train.max_steps == 9
    assert again.config.student == first.config.student
    again.prepare()
    assert Run.open(first.folder, []).config.train.max_steps == 9


def test_what_is_asked_for_again_is_noted_once(ball: Path, runs: str) -> None:
    Run.open(ball, [runs, "train.max_steps=7", "student=s"]).prepare()
    folder = Run.open(ball, [runs]).folder
    for steps in (8, 9):
        Run.open(folder, [f"train.max_steps={steps}", "student=m"]).prepare()
    assert read_overrides(folder) == [f"scene.path='{ball}'", runs, "train.max_steps=9", "student=m"]
    # Hydra merges dictionaries: both of these count, until a value takes their place.
    merged = ["train.finetune={max_steps:3}", "train.finetune={val_every:2}"]
    assert last_of_each_key(merged) == merged
    tune = Run.open(folder, merged).config.train.finetune
    assert (tune.max_steps, tune.val_every) == (3, 2)
    assert last_of_each_key([*merged, "train.finetune=x", "a=1"]) == ["train.finetune=x", "a=1"]


def test_its_command_makes_it_again_from_anywhere(tmp_path: Path, runs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_blender_scene(tmp_path / "it's a ball", views=(4, 1, 1))
    monkeypatch.chdir(tmp_path)
    run = Run.open(Path("it's a ball"), ["distill.source=folder", f"distill.folder={quoted(str(scene))}", runs])
    program, command, target, *overrides = shlex.split(run.command)
    assert (program, command, target) == ("nelf", "run", str(scene))
    monkeypatch.chdir(tmp_path.parent)
    again = Run.open(Path(target), overrides)
    assert (again.folder, again.config) == (run.folder, run.config)
    assert run.command == again.command


def test_relative_folders_hold_from_elsewhere(ball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ball.parent)
    first = Run.open(Path("ball"), ["distill.source=folder", "distill.folder=ball", f"runs={tmp_path / 'runs'}"])
    first.prepare()
    monkeypatch.chdir(first.folder.parent)
    again = Run.open(Path("ball"), [])
    assert (again.folder, again.scene.root, again.config.scene.path) == (Path("ball"), ball, str(ball))
    assert again.config.distill.folder == str(ball)
    assert again.config == first.config
    assert again.scene_digest == first.scene_digest
    monkeypatch.chdir(ball)
    assert Run.open(Path(), []).folder == Path("runs/ball")


def test_bundles_carry_no_folders_of_the_machine(ball: Path, runs: str) -> None:
    run = Run.open(ball, ["distill.source=folder", f"distill.folder={ball}", runs])
    (run.folder / "student").mkdir(parents=True)
    (run.folder / "student" / "student.safetensors").write_bytes(b"weights")
    provenance = bundle_context(run).provenance
    assert provenance["config"]["scene"]["path"] == provenance["config"]["distill"]["folder"] == "ball"
    assert str(ball.parent) not in json.dumps(provenance)


def test_damaged_settings(ball: Path, runs: str) -> None:
    run = Run.open(ball, [runs])
    run.prepare()
    for content in ("{", "[]", "{}", '{"overrides": 3}', "[" * 100_000):
        (run.folder / "run.json").write_text(content)
        with pytest.raises(ConfigError, match=r"run\.json is damaged .*give the scene's folder"):
            Run.open(run.folder, [])


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "a,b=[c]{d}", "back\\slash", "${x}", "äöü", "#1"])
def test_any_folder_name(tmp_path: Path, name: str, runs: str) -> None:
    scene = make_blender_scene(tmp_path / name, views=(3, 1, 1))
    run = Run.open(scene, [runs])
    assert run.scene.root == scene
    run.prepare()
    assert Run.open(run.folder, []).scene.root == scene


def test_quoted_is_taken_literally() -> None:
    assert quoted("it's") == "'it\\'s'"


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (SceneType.OBJECT, make_blender_scene),
        (SceneType.FORWARD_FACING, make_llff_scene),
        (SceneType.UNBOUNDED, make_nerfstudio_scene),
    ],
)
def test_defaults_of_the_kind(
    kind: SceneType, make: object, tmp_path: Path, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of configs/ with another default for each type, so that the test does not depend on the shipped ones."""
    import shutil

    configs = tmp_path / "configs"
    shutil.copytree(config_module.config_folder(), configs)
    for number, one in enumerate(SceneType):
        text = f"# @package _global_\ndistill:\n  views: {100 + number}\n"
        (configs / "scene_type" / f"{one.value}.yaml").write_text(text)
    monkeypatch.setattr(config_module, "config_folder", lambda: configs)
    scene = make(tmp_path / "scene")  # type: ignore[operator]
    run = Run.open(scene, [runs])
    assert run.scene.type is kind
    assert run.config.distill.views == 100 + list(SceneType).index(kind)
    assert Run.open(scene, [runs, "distill.views=7"]).config.distill.views == 7
    assert Run.open(scene, [runs, "experiment=smoke"]).config.distill.views == 12
    forced = Run.open(scene, [runs, "scene.type=unbounded"])
    assert forced.scene.type is SceneType.UNBOUNDED
    assert forced.config.distill.views == 100 + list(SceneType).index(SceneType.UNBOUNDED)


@pytest.mark.parametrize("kind", [SceneType.OBJECT, SceneType.UNBOUNDED])
def test_students_of_open_scenes_look_where_pseudo_views_show_something(kind: SceneType, ball: Path, runs: str) -> None:
    run = Run.open(ball, [runs, f"scene.type={kind.value}"])
    depths = np.linspace(1, 3, 256, dtype=np.float32).reshape(16, 16) * run.scene.radius
    seen = new_student(run, dataclasses.replace(run.scene.train, read_depth=lambda index: depths)).frame
    all_of_it = new_student(run).frame
    if kind is SceneType.OBJECT:
        assert seen == all_of_it
    else:
        assert run.scene.near < 0.8 * run.scene.radius < seen.near < run.scene.radius
        assert 3 * run.scene.radius < seen.far < 5 * run.scene.radius < run.scene.far
        assert all(np.subtract(seen.high, seen.low) < np.subtract(all_of_it.high, all_of_it.low))


def test_scene_digest(ball: Path, runs: str, tmp_path: Path) -> None:
    """It depends on the scene's content and how it is read, not on its folder."""
    import shutil

    digest = Run.open(ball, [runs]).scene_digest
    copy = tmp_path / "elsewhere" / "ball"
    shutil.copytree(ball, copy)
    assert Run.open(copy, [runs]).scene_digest == digest
    assert Run.open(ball, [runs, "scene.downscale=2"]).scene_digest != digest
    image = copy / "train" / "r_0.png"
    image.write_bytes((copy / "train" / "r_1.png").read_bytes())
    assert Run.open(copy, [runs]).scene_digest != digest


@pytest.mark.parametrize("make", [make_blender_scene, make_llff_scene, make_nerfstudio_scene, make_colmap_scene])
def test_what_no_view_is_made_from_does_not_count(make: object, tmp_path: Path, runs: str) -> None:
    """You may run the command in the scene's folder, and others leave files there too."""
    scene = make(tmp_path / "scene")  # type: ignore[operator]
    digest = Run.open(scene, [runs]).scene_digest
    Run.open(scene, [f"runs={scene / 'runs'}"]).prepare()
    (scene / ".DS_Store").write_bytes(b"mac")
    (scene / "images_32").mkdir()
    (scene / "images_32" / "0.png").write_bytes(b"unused")
    assert Run.open(scene, [runs]).scene_digest == digest
    (poses,) = [
        p
        for p in scene.rglob("*")
        if p.name in ("transforms_train.json", "transforms.json", "poses_bounds.npy", "images.bin")
    ]
    before = poses.read_bytes()
    poses.write_bytes(before + b" ")
    assert Run.open(scene, [runs]).scene_digest != digest


def test_a_changed_photo_behind_a_link_counts(tmp_path: Path, runs: str) -> None:
    scene = make_nerfstudio_scene(tmp_path / "room")
    (scene / "images").rename(tmp_path / "photos")
    (scene / "images").symlink_to(tmp_path / "photos")
    digest = Run.open(scene, [runs]).scene_digest
    first, second, *_ = sorted((tmp_path / "photos").iterdir())
    first.write_bytes(second.read_bytes())
    assert Run.open(scene, [runs]).scene_digest != digest


def test_golden_poses_are_test_views(tmp_path: Path, runs: str) -> None:
    scene = make_blender_scene(tmp_path / "many", views=(4, 1, 20))
    run = Run.open(scene, [runs])
    poses, names = golden_poses(run)
    assert len(poses) == len(names) == len(set(names)) == 8
    assert names[0] == run.scene.test.names[0]
    assert names[-1] == run.scene.test.names[-1]
    for pose, name in zip(poses, names, strict=True):
        assert torch.equal(pose, run.scene.test.c2w[run.scene.test.names.index(name)])


@pytest.mark.parametrize("count", [8, 11])
@pytest.mark.parametrize("make", [make_blender_scene, make_llff_scene, make_nerfstudio_scene])
def test_golden_poses_where_test_views_are_few(tmp_path: Path, make: object, count: int, runs: str) -> None:
    scene = make(tmp_path / "few")  # type: ignore[operator]
    run = Run.open(scene, [runs, f"export.golden_views={count}"])
    assert len(run.scene.test) < 8
    poses, names = golden_poses(run)
    assert len(poses) == len(names) == len(set(names)) == count
    assert names[: len(run.scene.test)] == run.scene.test.names
    seen = torch.cat([run.scene.train.c2w, run.scene.val.c2w])
    distance = (poses[:, None] - seen).abs().amax(dim=(-1, -2)).min(dim=1).values
    assert (distance > 1e-3).all()  # no training saw them
    assert torch.equal(golden_poses(run)[0], poses)


def test_a_forward_facing_scene_validates_only_if_asked(tmp_path: Path, runs: str) -> None:
    scene = make_llff_scene(tmp_path / "wall")
    plain = Run.open(scene, [runs]).scene
    asked = Run.open(scene, [runs, "scene.val_holdout=8"]).scene
    assert len(plain.val) == 0
    assert len(asked.val) > 0
    assert set(asked.train.names) | set(asked.val.names) == set(plain.train.names)
    assert asked.test.names == plain.test.names
    assert len(Run.open(make_nerfstudio_scene(tmp_path / "room"), [runs]).scene.val) > 0


def test_golden_poses_without_test_views(tmp_path: Path, runs: str) -> None:
    run = Run.open(make_nerfstudio_scene(tmp_path / "room"), [runs, "scene.holdout=0", "scene.val_holdout=0"])
    assert [len(run.scene.splits[split]) for split in ("train", "val", "test")] == [12, 0, 0]
    poses, names = golden_poses(run)
    assert len(poses) == len(set(names)) == 8
    assert all(name.startswith("new_") for name in names)
