"""Every shipped YAML composes, becomes dataclasses, and runs; sizes match the publications."""

import shlex
from pathlib import Path
from unittest import mock

import pytest
import torch
from omegaconf import OmegaConf

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.core.errors import ConfigError
from nelf.core.files import write_json
from nelf.core.progress import Stop
from nelf.pipeline import Config, Run, compose_config, config_folder, typed
from nelf.scene import SceneConfig, load_scene
from nelf.student import STUDENT_CONFIGS, Mapping, count_macs, count_parameters, make_student
from nelf.student.mobiler2l import MobileR2L
from nelf.teacher import TEACHERS, InstantNGPConfig, NeRFConfig
from nelf.teacher.stage import teach
from nelf.train import train
from tests.pipeline.commands import works
from tests.scenes import make_blender_scene
from tests.student.frames import cameras, facing, frame
from tests.train.tiny import SIZE, student, views

FOLDER = config_folder()


def names(group: str) -> list[str]:
    """Choices of a config group: file names without suffix, with subfolders."""
    return sorted(p.relative_to(FOLDER / group).with_suffix("").as_posix() for p in (FOLDER / group).rglob("*.yaml"))


GROUP_NAMES = ("student", "teacher", "train", "scene_type", "size", "experiment", "hydra/launcher")
GROUPS = {group: names(group) for group in GROUP_NAMES}

TINY_TEACHERS = {
    "instant_ngp": [
        "num_levels=2",
        "log2_hashmap_size=10",
        "max_resolution=32",
        "occupancy_resolution=16",
        "march_steps=32",
        "samples_per_step=1024",
        "max_rays_per_step=64",
    ],
    "nerf": ["depth=2", "width=16", "coarse_samples=8", "fine_samples=8", "max_rays_per_step=32"],
}
"""Overrides that make a teacher small enough for one step in a test."""


def composed(*overrides: str) -> Config:
    return typed(compose_config(["scene.path=nowhere", *overrides]))


def command_of(experiment: str) -> list[str]:
    """Words of the command in an experiment's first lines, without the remark after it."""
    head = (FOLDER / "experiment" / f"{experiment}.yaml").read_text().splitlines()[:3]
    lines = [line.removeprefix("# ") for line in head if line.startswith("# nelf ")]
    assert len(lines) == 1, f"experiment/{experiment}.yaml: say `# nelf ...` on its first lines"
    return shlex.split(lines[0].partition("    ")[0])


def test_no_file_is_left_out() -> None:
    found = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml")}
    chosen_for_you = {
        f"{first}_{second}/{one}-{other}"
        for first, second in (
            ("scene_type", "teacher"),
            ("scene_type", "student"),
            ("scene_type", "train"),
            ("size", "teacher"),
            ("experiment", "teacher"),
            ("experiment", "student"),
        )
        for one in GROUPS[first]
        for other in GROUPS[second]
    }
    assert found - chosen_for_you == {"config", *(f"{group}/{n}" for group, choices in GROUPS.items() for n in choices)}
    assert set(GROUPS["teacher"]) == set(TEACHERS) == set(TINY_TEACHERS)


@pytest.mark.parametrize("choice", [f"{group}={name}" for group, choices in GROUPS.items() for name in choices])
def test_it_composes(choice: str) -> None:
    config = composed(choice)
    group, _, name = choice.partition("=")
    if group in ("student", "teacher"):
        assert getattr(config, group).name == name
    if group == "teacher":
        assert type(config.teacher) is TEACHERS[name][0]
    if group == "student":
        assert type(config.student) is STUDENT_CONFIGS[config.student.family]


@pytest.mark.parametrize("kind", GROUPS["scene_type"])
@pytest.mark.parametrize("teacher", GROUPS["teacher"])
@pytest.mark.parametrize("size", GROUPS["size"])
def test_every_teacher_goes_with_every_kind_and_size(kind: str, teacher: str, size: str) -> None:
    found = composed(f"scene_type={kind}", f"teacher={teacher}", f"size={size}").teacher
    assert found.name == teacher
    assert found.samples_per_step == (262144 if (size, teacher) == ("gpu", "instant_ngp") else 16384)


def test_photos_of_open_scenes_halve_the_batch_of_our_recipe_alone() -> None:
    sizes = {
        (kind, recipe): composed(f"scene_type={kind}", f"train={recipe}").train.batch_size
        for kind in GROUPS["scene_type"]
        for recipe in GROUPS["train"]
    }
    assert sizes == {
        (kind, recipe): 10 if recipe == "mobiler2l" else 4 if kind == "object" else 2
        for kind in GROUPS["scene_type"]
        for recipe in GROUPS["train"]
    }


def test_a_run_keeps_the_sizes_of_the_machine_that_began_it(tmp_path: Path) -> None:
    """Otherwise its teacher would count as another one, and be trained again."""
    scene, where = make_blender_scene(tmp_path / "ball"), f"runs={tmp_path / 'runs'}"
    with mock.patch("nelf.core.devices.best_accelerator", return_value="cuda"):
        begun = Run.open(scene, [where])
        assert begun.config.teacher.samples_per_step == 262144
        assert Run.open(scene, [where, "device.accelerator=cpu"]).config.teacher.samples_per_step == 16384
        assert Run.open(scene, [where, "size=cpu"]).config.teacher.samples_per_step == 16384
    begun.folder.mkdir(parents=True)
    write_json(begun.folder / "run.json", {"overrides": list(begun.overrides)})
    assert Run.open(begun.folder, []).config.teacher.samples_per_step == 262144  # on a machine without a GPU


@pytest.mark.parametrize("choice", [f"{g}={name}" for g in ("student", "experiment") for name in GROUPS[g]])
def test_its_student_draws_a_picture(choice: str) -> None:
    """One forward pass at 24 x 16, with the configured depth spacing."""
    config = composed(choice).student
    mapping = config.mapping_for(bounded=True)
    network = make_student(config, frame(mapping, (16, 24))).eval()
    with torch.no_grad():
        image = network((cameras if mapping is Mapping.LINEAR else facing)(1))
    assert image.shape == (1, 3, 16, 24)
    assert image.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS["teacher"])
def test_its_teacher_takes_a_step(name: str, tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(path=str(make_blender_scene(tmp_path / "ball"))))
    small = [f"teacher.{override}" for override in ("max_minutes=null", "max_steps=1", *TINY_TEACHERS[name])]
    config = composed(f"teacher={name}", *small).teacher
    teach(scene, config, tmp_path / "teacher", make_fabric(DeviceConfig(accelerator="cpu")), Stop())
    assert (tmp_path / "teacher" / "teacher.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS["train"])
def test_its_recipe_takes_a_step(name: str, tmp_path: Path) -> None:
    short = [
        "max_steps=1",
        "max_minutes=null",
        "batch_size=2",
        "warmup_steps=0",
    ]  # a warm-up from zero changes nothing in one step
    short += ["finetune.max_steps=1", "finetune.max_minutes=null", "finetune.val_every=1"]
    config = composed(f"train={name}", *(f"train.{override}" for override in short)).train
    model = student()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fabric = make_fabric(DeviceConfig(accelerator="cpu"))
    trained = train(model, views(4, 1), views(4, 2), views(2, 3), config, tmp_path, fabric, Stop())
    assert (trained.frame.height, trained.frame.width) == (SIZE, SIZE)
    assert any(not torch.equal(before[key], value) for key, value in trained.state_dict().items())


def asked_by(command: list[str]) -> list[str]:
    """The overrides that a command begins a run with."""
    with mock.patch("nelf.cli.main._stage") as stage:
        works(*command[1:])
    return list(stage.call_args.args[2])


@pytest.mark.parametrize("name", GROUPS["experiment"])
@pytest.mark.parametrize("kind", GROUPS["scene_type"])
def test_the_command_on_its_first_lines_does_what_it_says(name: str, kind: str) -> None:
    """For any scene type: its defaults yield to every value in the experiment's file."""
    content = OmegaConf.to_container(OmegaConf.load(FOLDER / "experiment" / f"{name}.yaml"))
    assert isinstance(content, dict)
    chosen = [
        f"{key.removeprefix('override /')}={value}" for one in content.pop("defaults", []) for key, value in one.items()
    ]
    config = compose_config(["scene.path=nowhere", f"scene_type={kind}", *asked_by(command_of(name))])
    assert OmegaConf.to_container(OmegaConf.merge(config, content)) == OmegaConf.to_container(config)
    plain = compose_config(["scene.path=nowhere", f"scene_type={kind}", *chosen])  # its keys are of the same families
    assert OmegaConf.to_container(OmegaConf.merge(plain, content)) != OmegaConf.to_container(plain)


@pytest.mark.parametrize("kind", GROUPS["scene_type"])
@pytest.mark.parametrize("teacher", GROUPS["teacher"])
def test_smoke_bounds_the_work_of_every_teacher(kind: str, teacher: str) -> None:
    """An untrained teacher's views cost what its samples cost, whatever the scene."""
    config = composed("experiment=smoke", f"scene_type={kind}", f"teacher={teacher}")
    if isinstance(config.teacher, InstantNGPConfig):
        assert config.teacher.importance_samples == 8
    else:
        assert isinstance(config.teacher, NeRFConfig)
        assert config.teacher.coarse_samples + config.teacher.fine_samples <= 8
    assert (config.distill.views, config.distill.min_views, config.eval.max_views) == (12, 4, 4)
    assert config.distill.max_minutes == 0.2


def test_paper_synthetic_is_the_published_network() -> None:
    """Cao et al. 2023: 100 x 100 rays to 800 x 800 pixels, 10k pseudo views, 600k steps of 10 views."""
    config = composed(*command_of("paper/synthetic")[3:])
    network = make_student(config.student, frame(size=(800, 800)))
    assert isinstance(network, MobileR2L)
    assert network.grid == (100, 100)
    assert count_parameters(network) == 4_305_539
    assert count_macs(network) / 1e9 == pytest.approx(50.6, abs=0.05)
    assert (config.distill.views, config.train.max_steps, config.train.batch_size) == (10_000, 600_000, 10)
    assert (config.train.max_minutes, config.train.finetune.max_minutes, config.teacher.max_minutes) == (
        None,
        None,
        None,
    )


def test_paper_llff_is_the_published_network() -> None:
    """84 x 63 rays to 1008 x 756 pixels, points in normalised device coordinates."""
    config = composed(*command_of("paper/llff")[3:])
    assert config.scene.downscale == 4
    network = make_student(config.student, frame(Mapping(config.student.depth_spacing), size=(756, 1008)))
    assert isinstance(network, MobileR2L)
    assert network.grid == (63, 84)
    assert network.frame.mapping == Mapping.NDC
    assert count_macs(network) / 1e9 == pytest.approx(26.6, abs=0.05)
    assert (config.distill.views, config.train.max_steps, config.train.batch_size) == (10_000, 600_000, 10)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.widht=3", r"student\.widht.* did you mean .*student\.width"),
        ("train.finetune.step=3", r"train\.finetune\.step.* did you mean .*train\.finetune\.max_steps"),
        ("colour=red", r"colour is not a setting; `nelf config` lists all settings"),
        ("student.fine_reader=cubes", r"student\.fine_reader=cubes is not known; use one of planes, lines, volume"),
        ("student.num_frequencies=6", r"student\.num_frequencies|num_frequencies"),
        ("student.family=mobiler2l", r"student\.family=mobiler2l cannot be set by itself; choose a preset"),
        ("student=xl", r"student=xl is not known; use one of .*mobiler2l"),
        ("experiment=papier", r"experiment=papier is not known; use one of .*paper/synthetic"),
        ("train.batch_size=many", r"train\.batch_size=many is not allowed; use a whole number"),
        ("train.batch_size=0", r"train\.batch_size=0 is too small"),
        ("student.width", r"student\.width"),
        ("train.max_steps=\n", r"train\.max_steps="),
        ("student=3.5", r"student=3\.5 is not known; use one of"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        composed(override)
    assert "\n" not in str(caught.value)
