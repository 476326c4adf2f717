"""What a stage or a command did, in words: its counts as people read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult

_NOUNS = {
    "classes": ("class", "classes"),
    "notes": ("file with a note", "files with a note"),
    "exact_groups": ("group of exact copies", "groups of exact copies"),
    "near_groups": ("group of near copies", "groups of near copies"),
    "label_conflicts": ("file with a copy under another label", "files with a copy under another label"),
    "cross_split_copies": ("file with a copy in another split", "files with a copy in another split"),
    "unlisted": ("file that the list does not name", "files that the list does not name"),
    "noise_images": ("noise image", "noise images"),
    "doubtful": ("doubtful image, kept", "doubtful images, kept"),
    "for_people": ("label for people to judge", "labels for people to judge"),
    "relabelled": ("image with another label", "images with another label"),
    "conflicts": ("copy under several labels", "copies under several labels"),
    "not_scored": ("image that could not be scored", "images that could not be scored"),
    "sampled": ("image in an epoch", "images in an epoch"),
    "files": ("file", "files"),
    "images": ("image", "images"),
    "repeats": ("repeat", "repeats"),
}
"""Counts by their name in the record, one and many. Those not listed are written after their name."""
_PHRASES = {
    "repeated_to": "upsampled to {:,} images a class",
}
_ELSEWHERE = ("rows", "kept", "expected_wrong", "expected_precision")
"""Counts that have a line of their own, or are said by one that has."""
_TITLES = {
    "dropped": "dropped here",
    "label_issues": "labels called wrong",
    "split_leaks": "pictures shared by splits",
    "copies_within": "copies within splits",
    "beyond_quality_limit": "beyond a limit, but so are many of this set",
}


def summarize(result: StageResult, manifest: Path) -> list[str]:
    """The lines that a stage prints when it is done: how many images are kept, what was found, its `manifest`."""
    record, counts = result.record, result.record.counts
    networks = " + ".join(backbone["name"] for backbone in record.backbones)
    head = [f"{counts['rows']:,} files", f"{counts['kept']:,} kept", *filter(None, [networks])]
    head += [record.device, f"{record.seconds:,.1f} s"]
    if result.was_current:
        head.append("up to date, nothing done (--force runs it again)")
    lines = [f"{record.stage:<8}{' · '.join(head)}"]
    rest = {name: value for name, value in counts.items() if name not in _ELSEWHERE}
    lines += [
        f"  {_TITLES.get(name, in_words(name))}: {listed(value)}"
        for name, value in rest.items()
        if isinstance(value, dict) and value
    ]
    if plain := {name: value for name, value in rest.items() if not isinstance(value, dict | list)}:
        lines.append(f"  {counted(plain)}")
    lines += [f"  {words}"] if (words := _expected_wrong(counts)) else []
    return [*lines, f"  {manifest}"]


def _expected_wrong(counts: dict[str, Any]) -> str:
    """How many wrong labels there should be, and how many of them are dropped or wait for people."""
    expected = counts.get("expected_wrong")
    if not expected:
        return ""
    dropped = sum(num for reason, num in counts["dropped"].items() if reason.startswith("label_issue"))
    parts = [f"wrong labels to be expected: {expected['all']:,.0f} in all"]
    parts += [f"{min(round(expected['dropped']), dropped):,} of the {dropped:,} dropped"] if dropped else []
    asked = counts["for_people"]
    parts += [f"{min(round(expected['for_people']), asked):,} of the {asked:,} for people"] if asked else []
    return " · ".join(parts)


def counted(counts: dict[str, Any]) -> str:
    """Counts in words, without those that are 0: `24 classes · 1 group of near copies`; `nothing` if all are."""
    return " · ".join(_count(name, value) for name, value in counts.items() if value) or "nothing"


def listed(values: dict[str, Any]) -> str:
    """Values after their names: `kept 1,472 · dropped 50`."""
    return " · ".join(f"{in_words(name)} {_figure(value)}" for name, value in values.items())


def in_words(name: str) -> str:
    """A name of a record in words: `label_issue_coarse` as `label issue coarse`."""
    return name if name.startswith("_") else name.removeprefix("num_").replace("_", " ")


def _count(name: str, value: Any) -> str:
    if name in _PHRASES:
        return _PHRASES[name].format(value)
    if name in _NOUNS:
        return f"{value:,} {_NOUNS[name][value != 1]}"
    return f"{in_words(name)} {_figure(value)}"


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 10 else f"{value:,.1f}"
    return f"{value:,}" if type(value) is int else str(value)
