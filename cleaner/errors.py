"""Errors that a user can cause or fix: each says what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class CleanerError(Exception):
    """A failure that is shown to the user without a traceback.

    `what` names the problem and the file or row; `expected` and `found` are given where they help; `next_step` is the
    command or the change that fixes it. `exit_code` is that of the process.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str = "", found: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.next_step = next_step

    def __str__(self) -> str:
        rest = {"expected": self.expected, "found": self.found, "next": self.next_step}
        return "\n".join([self.what, *(f"  {name}: {text}" for name, text in rest.items() if text)])


class UsageError(CleanerError):
    """The command line or the settings cannot be used (exit 2)."""

    exit_code = 2


class BadInputError(CleanerError):
    """A file that the user gave cannot be used as it is (exit 3)."""

    exit_code = 3


class StaleStageError(BadInputError):
    """A stage that this one reads is missing or no longer matches its inputs (exit 3)."""


class WorkspaceLockedError(CleanerError):
    """Another process works in the same workspace (exit 1)."""


class GateError(CleanerError):
    """A gate that the user set is not passed (exit 4)."""

    exit_code = 4


class BackboneError(CleanerError):
    """A backbone or its weights cannot be loaded (exit 1)."""


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The first `most` of `names`, and how many more there are, for a message: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
