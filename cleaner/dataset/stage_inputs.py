"""The stages and what each one reads; files named by settings are declared with the settings."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
"""The version of manifests and records."""
STAGES = ("scan", "noise", "labels", "balance")
"""The stages that write manifests, in their order."""


@dataclass(frozen=True, kw_only=True)
class StageInputs:
    """What a stage reads besides the files that its settings name."""

    parents: tuple[str, ...] = ()
    """The stages whose manifest it can read; it reads that of the first complete one."""
    image_verdicts: tuple[str, ...] = ()
    """The verdicts on images that it uses."""
    labels_of_noise: bool = False
    """Whether it also uses `label` verdicts, but only on images that count as noise without them."""
    class_verdicts: tuple[str, ...] = ()
    """The verdicts on classes that it uses."""
    waits_for_verdicts: bool = True
    """Whether it refuses to run until the stages before it have applied all verdicts."""

    @property
    def uses_verdicts(self) -> bool:
        """Whether its record holds a digest of verdicts."""
        return bool(self.image_verdicts or self.class_verdicts)


_ALL = STAGES[::-1]
STAGE_INPUTS = {
    "scan": StageInputs(),
    "noise": StageInputs(parents=("scan",), image_verdicts=("noise", "normal", "drop"), labels_of_noise=True),
    "labels": StageInputs(
        parents=("noise", "scan"), image_verdicts=("label", "noise", "drop"), class_verdicts=("merge",)
    ),
    "balance": StageInputs(
        parents=("labels", "noise", "scan"),
        image_verdicts=("label", "noise", "drop"),
        class_verdicts=("keep", "drop", "merge"),
    ),
    "export": StageInputs(parents=_ALL),
    "train": StageInputs(parents=_ALL),
    "verify": StageInputs(parents=_ALL, waits_for_verdicts=False),  # an audit's verdicts judge the set as it is
}
"""By stage, or by command that reads a manifest as stages do."""


def command_after(stage: str) -> str:
    """The command that follows `stage`: the next stage, or the export after the last one."""
    following = STAGES[STAGES.index(stage) + 1 :]
    return following[0] if following else "export --to folder OUT"
