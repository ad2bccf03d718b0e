"""Configuration: every mistake gives one helpful line. The shipped files: tests/test_configs.py."""

import pytest
from omegaconf import OmegaConf

from nelf.core.errors import ConfigError
from nelf.pipeline import as_yaml, compose_config, typed
from nelf.teacher import InstantNGPConfig, NeRFConfig

SCENE = "scene.path=photos"


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as refused:
        typed(compose_config([SCENE, *overrides]))
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_the_schema_of_the_teacher_follows_its_name() -> None:
    assert isinstance(typed(compose_config([SCENE])).teacher, InstantNGPConfig)
    config = typed(compose_config([SCENE, "teacher=nerf", "teacher.depth=4"]))
    assert isinstance(config.teacher, NeRFConfig)
    assert config.teacher.depth == 4
    assert "teacher.num_levels" in refusal("teacher=nerf", "teacher.num_levels=4")


def test_yaml_composes_to_the_same() -> None:
    composed = compose_config([SCENE, "train.max_steps=7"])
    assert OmegaConf.create(as_yaml(composed)) == composed


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.stepz=3", "did you mean train.max_steps"),
        ("train.finetune.minute=3", "did you mean train.finetune.max_minutes"),
        ("distil.views=3", "did you mean distill.views"),
        ("teacher.max_step=3", "did you mean teacher.max_steps"),
        ("scene.down_scale=3", "did you mean scene.downscale?"),
        ("zzz=3", "zzz is not a setting; `nelf config` lists all settings"),
        (
            "train.max_steps=many",
            "train.max_steps=many is not allowed; use a whole number from 1 to 1000000000, or null",
        ),
        ("teacher.name=nerf", "choose with teacher=instant_ngp|nerf"),
        ("train.max_steps=[", "train.max_steps=["),
        ("student=xxl", "xxl"),
        ("experiment=smok", "smok"),
        ("teacher=plenoxels", "plenoxels"),
        ("train.max_steps", "train.max_steps lacks a value; write train.max_steps=VALUE"),
        ("student", "student lacks a value; write student=NAME with one of constant, l, m, mobiler2l, s"),
        ("student=", "student= is not known; use one of constant, l, m, mobiler2l, s"),
        ("scene.up=z", "scene.up=z is not allowed; use a list, each a number from"),
        ("train.max_steps=1,2", "train.max_steps=1,2 has several values; add --multirun"),
        ("~train.max_steps", "~train.max_steps: a setting cannot be removed"),
        ("+student=s", "+student=s: leave out the +"),
        ("distill=5", "distill has several settings, such as distill.source; `nelf config distill` lists them"),
        ("++foo.bar=1", "foo is not a setting"),
        ("train={max_steps:5,foo:3}", "train.foo is not a setting"),
        ("train={finetune:{stepz:3}}", "did you mean train.finetune.max_steps"),
        ("hydra.foo=1", "hydra.foo is not a setting"),
        ("train.max_steps=${foo}", "Interpolation key 'foo' not found"),
        ("runs=", "runs= is not a path; use the path of a folder"),
        ("scene.name=a/b", "scene.name=a/b is not a plain name"),
        ("teacher.name=plenoxels", "plenoxels"),
    ],
)
def test_mistakes(override: str, expected: str) -> None:
    assert expected in refusal(override)


def test_unknown_choices_list_the_known() -> None:
    message = refusal("student=xxl")
    assert message == "student=xxl is not known; use one of constant, l, m, mobiler2l, s"
    assert refusal("teacher=plenoxels") == "teacher=plenoxels is not known; use one of instant_ngp, nerf"
    for choice in ("smok", "paper/llf"):
        message = refusal(f"experiment={choice}")
        assert message.startswith(f"experiment={choice} is not known; use one of demo, ")
        assert "paper/llff, paper/synthetic, smoke" in message


def test_without_a_scene() -> None:
    with pytest.raises(ConfigError, match="no scene is given; name its folder"):
        typed(compose_config([]))
