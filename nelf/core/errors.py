"""Errors that you can cause. Each message says what was wrong, where, what is allowed, what to do.

The command line prints them as one line and exits with `exit_code`. Anything else is a bug in nelf and keeps its
traceback.
"""

import enum


class NelfError(Exception):
    """Bad input or a request that nelf refuses. Exit code 2, one line, no traceback."""

    exit_code = 2


class ConfigError(NelfError):
    """A configuration value or override that cannot be used."""


class SceneError(NelfError):
    """A scene folder that cannot be read or contradicts itself."""


class CheckpointError(NelfError):
    """A checkpoint that is cut short, from another architecture, or not ours."""


class BundleErrorCode(enum.StrEnum):
    """Why a bundle is refused: the same in every reader, in all languages."""

    NOT_A_BUNDLE = "not_a_bundle"
    """There is no manifest.json, or it belongs to another format."""
    UNSUPPORTED_VERSION = "unsupported_version"
    INVALID_MANIFEST = "invalid_manifest"
    UNSAFE_PATH = "unsafe_path"
    """A name that leads out of the bundle, here or on another system."""
    DAMAGED_FILE = "damaged_file"
    """A file is missing or changed, or cannot be used."""
    UNSUPPORTED_TARGET = "unsupported_target"
    """The bundle is fine, but this reader cannot show or execute it."""


class BundleError(NelfError):
    """A bundle that is refused. code: for programs."""

    def __init__(self, message: str, code: BundleErrorCode) -> None:
        super().__init__(message)
        self.code = code


class ExportError(NelfError):
    """An export that failed, or whose file disagrees with the PyTorch model."""


class BenchError(NelfError):
    """A measurement that failed: no runtime here executes the model, or the phone does not answer."""


class StorageError(NelfError):
    """The disk is full, or a folder cannot be written."""


class Interrupted(NelfError):
    """You asked to stop (SIGINT). What was done is saved; the same command continues from there."""

    exit_code = 130


def one_line(said: object, most: int = 200) -> str:
    """The text of an error or of a tool, on one line of at most `most` characters, for a message of ours."""
    return " ".join(str(said).split())[:most]
