"""Exceptions of the package."""

from __future__ import annotations

from pathlib import Path


class Error(Exception):
    """Something went wrong that the message and the hint explain.

    A traceback shows the hint below the message.
    """

    hint: str
    """What to do about it."""
    path: Path | None
    """The file or directory it is about, where it is about one."""

    def __init__(self, message: str, hint: str = "", path: str | Path | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.path = None if path is None else Path(path)
        if hint:
            self.add_note(f"hint: {hint}")


class ConfigError(Error, ValueError):
    """A configuration or another argument makes no sense."""


class PrerequisiteError(Error):
    """The embedding model or ONNX Runtime is needed and missing."""


class InputError(Error):
    """A recording or a profile is missing, foreign or damaged."""


class OutputError(Error, OSError):
    """Results cannot be written."""
