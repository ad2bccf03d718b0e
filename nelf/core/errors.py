"""Errors that a user can cause. Each message says what was wrong, where, what is allowed, what to do.

The command line prints them as one line and exits with `exit_code`; anything else is our own mistake and
keeps its traceback.
"""


class NelfError(Exception):
    """Bad input or a refused request. Exit code 2, one line, no traceback."""

    exit_code = 2


class ConfigError(NelfError):
    """A configuration value or override that cannot be used."""


class SceneError(NelfError):
    """A scene folder that cannot be read, or whose content contradicts itself."""


class CheckpointError(NelfError):
    """A checkpoint that is cut short, from another architecture, or not ours."""


class BundleError(NelfError):
    """A bundle that is damaged, unsafe, or of an unknown format version.

    code: for programs; those of what every reader refuses are `nelf.export.coherence.Refusal`.
    """

    def __init__(self, message: str, code: str = "bundle_unusable") -> None:
        super().__init__(message)
        self.code = str(code)


class ExportError(NelfError):
    """An export that could not be made, or whose file disagrees with the PyTorch model."""


class BenchError(NelfError):
    """A measurement that could not be made: a model that no runtime here executes, a phone that does not answer."""


class StorageError(NelfError):
    """The disk is full, or a folder cannot be written."""


class Interrupted(NelfError):
    """The user asked to stop (SIGINT). What was done is saved; the same command goes on from there."""

    exit_code = 130


def one_line(said: object, most: int = 200) -> str:
    """The text of an error or of a tool, on one line of at most `most` characters, for a message of ours."""
    return " ".join(str(said).split())[:most]
