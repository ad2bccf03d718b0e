"""Checks of fields, and their one-line messages."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
from omegaconf import OmegaConf

from nelf.core.errors import ConfigError
from nelf.core.settings import OneOf, PlainName, Positive, Range, check, setting


@dataclass
class Oven:
    """An example."""

    minutes: float | None = setting(10.0, Positive(60), unit="minutes")
    """Time."""
    loaves: int = setting(2, Range(1, 8), advice="buy a second oven for more")
    """Bread."""
    share: float = setting(0.5, Range(0, 1, open_end=True))
    """Rye."""
    heat: str = setting("low", OneOf(["low", "high"]))
    """Heat."""
    name: str | None = setting(None, PlainName())
    """Name."""
    shelves: list[int] = setting([1, 2], Range(0, 4))
    """Used."""
    note: str = ""
    """Anything."""

    def __post_init__(self) -> None:
        check(self, "oven")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0.0}, "oven.minutes=0 is too small; use a number above 0, at most 60 minutes, or null"),
        (
            {"minutes": math.nan},
            "oven.minutes=nan is not a finite number; use a number above 0, at most 60 minutes, ",
        ),
        ({"minutes": 1e30}, "oven.minutes=1e+30 is too large; use"),
        ({"loaves": 9}, "oven.loaves=9 is too large; use a whole number from 1 to 8; buy a second oven for more"),
        ({"loaves": 1.5}, "oven.loaves=1.5 is not a whole number"),
        ({"loaves": None}, "oven.loaves=null is not allowed; use a whole number from 1 to 8;"),
        ({"loaves": True}, "oven.loaves=true is not a whole number"),
        ({"share": 1.0}, "oven.share=1 is too large; use a number from 0 to below 1"),
        ({"share": -math.inf}, "oven.share=-inf is not a finite number"),
        ({"share": "much"}, "oven.share=much is not a number"),
        ({"heat": "mild\nly"}, "oven.heat=mild ly is not known; use one of low, high"),
        ({"name": "../evil"}, "oven.name=../evil is not a plain name; use the name of one folder, without / and \\"),
        ({"name": ".."}, "oven.name=.. is not a plain name"),
        ({"name": "x" * 999}, f"oven.name={'x' * 60}... is not a plain name"),
        ({"shelves": [1, 9]}, "oven.shelves=[1,9]: 9 is too large; use a list, each a whole number from 0 to 4"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Oven(**changes)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_what_is_allowed_is_taken() -> None:
    assert Oven(minutes=None, loaves=8, share=0, name="my oven", shelves=[]).share == 0
    assert Oven(minutes=60.0, share=0.999).loaves == 2


def test_a_default_list_is_not_shared() -> None:
    assert Oven().shelves is not Oven().shelves


def test_it_is_a_structured_config_as_before() -> None:
    loaded = OmegaConf.merge(OmegaConf.structured(Oven), {"loaves": 3})
    assert OmegaConf.to_object(loaded) == Oven(loaves=3)
    with pytest.raises(ConfigError, match=r"oven\.loaves=0"):
        OmegaConf.to_object(OmegaConf.merge(loaded, {"loaves": 0}))
