"""Errors that a user can cause or mend: each says what is wrong, where, and what to do next."""

from __future__ import annotations


class CleanerError(Exception):
    """A failure to be shown to the user without a traceback.

    `what` names the problem and the file or row; `expected` and `found` are added where they help;
    `next_step` is the command or the change that mends it. `exit_code` is the process's.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str = "", found: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.found:
            lines.append(f"  found: {self.found}")
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


class UsageError(CleanerError):
    """The command line or the settings make no sense (exit 2)."""

    exit_code = 2


class BadInputError(CleanerError):
    """A file that the user gave cannot be used as it is (exit 3)."""

    exit_code = 3


class StaleStageError(BadInputError):
    """A stage that this one reads is missing or no longer matches its inputs (exit 3)."""


class WorkspaceLockedError(CleanerError):
    """Another process works in the same workspace (exit 1)."""


class GateError(CleanerError):
    """A gate that the user asked for is not passed (exit 4)."""

    exit_code = 4


class BackboneError(CleanerError):
    """A backbone or its weights cannot be loaded (exit 1)."""
