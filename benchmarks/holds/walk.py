"""A small set with faults planted, every command over it, and what each leaves behind: shared by the trials."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.verified import CLASSES, draw_picture

TINY = "test_efficientnet"
"""timm's smallest network, made for tests; its weights are random here."""
_TINY = ("--backbone", TINY, "--weights", "{set}/tiny.safetensors", "--image-size", "32", "--workers", "1")
_TRAIN = ("--backbone", TINY, "--image-size", "32", "--scratch", "--recipe", "crop", "--epochs", "2", "--workers", "1")
COMMANDS: dict[str, tuple[str, ...]] = {
    "scan": ("scan", "{set}/images", "--workers", "1"),
    "noise": ("noise", "--seeds", "{set}/seeds.csv", *_TINY),
    "labels": ("labels", "--folds", "3", *_TINY),
    "balance": ("balance", "--min-count", "0", *_TINY),
    "train": ("train", *_TRAIN, "--batch-size", "16", "--val", "{set}/val"),
    "verify": ("verify", "--val", "{set}/val", "--num-seeds", "2", *_TINY),
    "audit": ("audit", "--sample", "20", "--sample-dropped", "5"),
    "report": ("report",),
    "export folder": ("export", "{out}/folder", "--mode", "copy", "--dropped"),
    "export table": ("export", "{out}/table.csv", "--to", "csv"),
    "decisions import": ("decisions", "import", "{set}/verdicts.csv"),
}
"""In their order: each needs what those before it made."""
_CHANGING = ("created_utc", "finished_utc", "time_utc", "seconds", "cleaner_version")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00| UTC)?")


def make_set(folder: Path, num: int = 14) -> None:
    """`images/` of six classes, `val/`, `seeds.csv`, `verdicts.csv` and weights, below `folder`."""
    import timm
    import torch
    from safetensors.torch import save_file

    rng = np.random.default_rng(0)
    images = folder / "images"
    for k, name in enumerate(CLASSES):
        for i in range(num):
            wrong = CLASSES[(k + 1) % len(CLASSES)] if i < 2 else name
            draw_picture(images / wrong / f"{name}-{i:02d}.png", k, rng)
        for i in range(4):
            draw_picture(folder / "val" / name / f"{i}.png", k, rng)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(images / "ant" / f"noise-{i}.png")
    shutil.copyfile(images / "bee" / "bee-05.png", images / "bee" / "copy.png")
    (images / "cow" / "cut.png").write_bytes((images / "cow" / "cow-05.png").read_bytes()[:900])
    (images / "doe" / "empty.png").touch()
    seeds = [*(f"ant/noise-{i}.png,true" for i in range(3)), *(f"{c}/{c}-06.png,false" for c in CLASSES)]
    (folder / "seeds.csv").write_text("\n".join(["file_name,is_noise", *seeds]) + "\n")
    verdicts = [f"{c}/{c}-{i:02d}.png,label,{c},ann" for c in CLASSES for i in range(7, 12)]
    (folder / "verdicts.csv").write_text("\n".join(["file_name,verdict,label,annotator", *verdicts]) + "\n")
    torch.manual_seed(0)
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), folder / "tiny.safetensors")


@dataclass(frozen=True)
class Place:
    """Where the set lies, and where one run of the commands works and exports to."""

    set: Path
    root: Path
    """Holds `work/` and `out/`; nothing is written elsewhere."""

    @property
    def work(self) -> Path:
        """The workspace."""
        return self.root / "work"

    def arguments(self, title: str) -> list[str]:
        """The command line of one of COMMANDS."""
        filled = [a.format(set=self.set, out=self.root / "out") for a in COMMANDS[title]]
        return [*filled, "-C", str(self.work)]

    def copy(self, root: Path) -> Place:
        """The same, copied to another folder."""
        shutil.copytree(self.root, root, symlinks=True)
        return Place(self.set, root)


def results(place: Place) -> dict[str, str]:
    """A digest of each file that a run leaves for people, times and caches aside, and of the decisions."""
    found = {}
    for path in sorted(p for p in place.root.rglob("*") if p.is_file()):
        name = path.relative_to(place.root).as_posix()
        if name.startswith(("work/cache/", "work/decisions.sqlite")) or _is_hidden(name):
            continue
        found[name] = hashlib.sha256(_content(path)).hexdigest()
    if (place.work / "decisions.sqlite").exists():
        found["decisions"] = hashlib.sha256(repr(_decisions(place.work)).encode()).hexdigest()
    return found


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(_without_times(json.loads(data)), sort_keys=True).encode()
    if path.suffix == ".html":
        return _TIME.sub("", re.sub(r"[\d.,]+ s\b", "", data.decode())).encode()
    return data


def _without_times(document: Any) -> Any:
    if isinstance(document, dict):
        return {k: _without_times(v) for k, v in document.items() if k not in _CHANGING}
    return [_without_times(v) for v in document] if isinstance(document, list) else document


def _decisions(work: Path) -> list[Any]:
    from cleaner.dataset.decisions import DecisionStore

    events = DecisionStore(work / "decisions.sqlite").events().drop(columns="time_utc")
    return list(events.itertuples(index=False, name=None))


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """The names of files that differ, or that only one of both has."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def leftovers(place: Place) -> list[str]:
    """Half-written files and folders that are still there, outside the cache; a hidden file may be."""
    names = [p.relative_to(place.root).as_posix() for p in place.root.rglob("*.tmp")]
    return [n for n in names if not n.startswith("work/cache/") and ("-export-" in n or not _is_hidden(n))]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def words_amiss(stderr: str) -> bool:
    """Whether a command said what no command may say."""
    return "unexpected" in stderr or "Traceback" in stderr
