"""What the set-ups of the viewers' checks share: where tools are kept, and how it is said that one cannot be had."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class SetupError(Exception):
    """A tool cannot be had; the message is one line. `unreachable`: because a registry does not answer."""

    def __init__(self, message: str, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def tools_folder(name: str) -> Path:
    """Where the tools of one viewer are kept: below NELF_TOOLS, or .tools in the repository (which git ignores)."""
    return Path(os.environ.get("NELF_TOOLS") or ROOT / ".tools").resolve() / name
