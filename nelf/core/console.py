"""Lines for the user."""

from rich.console import Console

from nelf.core.progress import above_the_line

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def echo(text: str) -> None:
    """A line for the user; results of commands go to stdout, everything else to stderr."""
    with above_the_line():
        console.print(text, markup=False)
