"""Help texts of the command line."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from nelf.cli.main import app
from tests.pipeline.commands import nelf, works

COMMANDS = [
    "data check",
    "data import photos",
    "data import video",
    "data mask",
    "run",
    "teach",
    "distill",
    "train",
    "eval",
    "export",
    "report",
    "verify",
    "render",
    "view",
    "bench",
    "fit",
    "config",
    "demo",
]


@pytest.mark.parametrize("command", ["", "data", *COMMANDS])
def test_help_has_an_example(command: str) -> None:
    outcome = works(*command.split(), "--help")
    assert "Example: nelf " in outcome.out
    assert f"Example: nelf {command}" in outcome.out


def test_no_command_is_left_out() -> None:
    def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield " ".join(path)
        for name, one in (inner or {}).items():
            yield from leaves(one, (*path, name))

    assert sorted(leaves(typer.main.get_command(app))) == sorted(COMMANDS)


def test_help_names_every_command() -> None:
    text = works("--help").out
    assert [name for name in COMMANDS if f" {name.split()[0]} " not in text] == []


def test_version() -> None:
    from nelf import __version__

    assert works("--version").out == f"{__version__}\n"


def test_without_arguments_it_helps() -> None:
    outcome = nelf()
    assert outcome.code == 2
    assert "Example: nelf run my_photos" in outcome.out + outcome.err


def test_unknown_command_and_option() -> None:
    assert nelf("runn").code == 2
    assert nelf("run", "x", "--nothing").code == 2
    assert "Traceback" not in nelf("runn").err
