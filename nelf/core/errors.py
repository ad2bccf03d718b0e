"""Errors that you can cause. Each message says what was wrong, where, what is allowed, what to do.

The command line prints them as one line and exits with `exit_code`. Anything else is a bug in nelf and keeps its
traceback.
"""


class NelfError(Exception):
    """Bad input or a request that nelf refuses. Exit code 2, one line, no traceback."""

    exit_code = 2


class ConfigError(NelfError):
    """A configuration value or override that cannot be used."""


class SceneError(NelfError):
    """A scene folder that cannot be read or contradicts itself."""


class CheckpointError(NelfError):
    """A checkpoint that is cut short, from another architecture, or not ours."""


class BundleError(NelfError):
    """A bundle that is damaged, unsafe, or of an unknown format version.

    code: a short name for programs; the codes that every reader knows are in `nelf.export.coherence.Refusal`.
    """

    def __init__(self, message: str, code: str = "bundle_unusable") -> None:
        super().__init__(message)
        self.code = str(code)


class ExportError(NelfError):
    """An export that failed, or whose file disagrees with the PyTorch model."""


class BenchError(NelfError):
    """A measurement that failed: no runtime here executes the model, or the phone does not answer."""


class StorageError(NelfError):
    """The disk is full, or a folder cannot be written."""


class Interrupted(NelfError):
    """You asked to stop (SIGINT). What was done is saved; the same command continues from there."""

    exit_code = 130
