"""`--to wds`: shards of tar files for webdataset, with the `_info.json` of timm's reader."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.exports.cleaned import Cleaned
from cleaner.exports.files import ExportedFile, read_image_bytes
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.numbered import number_files
from cleaner.exports.snippets import quoted
from cleaner.exports.splits import plain_splits
from cleaner.progress import Task

_READS = ("JPEG", "PNG", "WEBP")  # what timm's reader looks for
_KEYS = "jpg;png;webp"


@dataclass(frozen=True)
class _Shard:
    name: str
    num_samples: int


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """`OUT/<split>-000000.tar` …, each sample with its image, `cls` (the class number) and `json`; `_info.json`.

    The json holds file_name, clean_label, label, image_id, repeats and weight. `_info.json` names shards and their
    lengths by split, and the classes in the order of their numbers. With `repeats` `files`, an image that is repeated n
    times has n samples: streams cannot be drawn from by weight.
    """
    rows = cleaned.kept
    if options.repeats == "files":
        rows = rows.loc[rows.index.repeat(rows["repeats"])]
    files = number_files(rows, cleaned.images_root, reads=_READS, convert=options.convert, reader="timm's reader")
    names = plain_splits(cleaned.splits)

    def write(folder: Path) -> int:
        splits = {}
        with cleaned.progress.task("export", len(files)) as task:
            for split, name in names.items():
                mine = np.flatnonzero((rows["split"] == split).to_numpy())
                samples = _samples(rows.iloc[mine], [files[row] for row in mine], cleaned)
                splits[name] = _describe(name, list(_write_shards(folder, name, samples, options.shard_mb << 20, task)))
        info = {"splits": splits, "classes": cleaned.classes}
        text = json.dumps(info, indent=1, ensure_ascii=False)
        (folder / "_info.json").write_text(text, encoding="utf-8")
        return 0

    return Prepared(
        write=write,
        use=lambda out: _use(out, names[cleaned.splits[0]]),
        classes=cleaned.classes,
        num_files=len(cleaned.kept),
        num_repeats=len(rows) - len(cleaned.kept),
    )


def _samples(rows: pd.DataFrame, files: list[ExportedFile], cleaned: Cleaned) -> Iterator[dict[str, bytes]]:
    """The members of each sample by name."""
    numbers = pd.Index(cleaned.classes).get_indexer(pd.Index(rows["clean_label"]))
    told = ["file_name", "clean_label", "label", "image_id", "repeats", "weight"]
    for file, number, values in zip(files, numbers, rows[told].itertuples(index=False), strict=True):
        key = file.target.stem
        about = dict(zip(told, values, strict=True))
        yield {
            file.target.name: read_image_bytes(file),
            f"{key}.cls": str(number).encode(),
            f"{key}.json": json.dumps(about, ensure_ascii=False).encode(),
        }


def _write_shards(
    folder: Path, split: str, samples: Iterator[dict[str, bytes]], max_bytes: int, task: Task
) -> Iterator[_Shard]:
    """Write samples in their order; a shard ends with the sample that makes it `max_bytes` large."""
    sample = next(samples, None)
    number = 0
    while sample is not None:
        name, num, size = f"{split}-{number:06d}.tar", 0, 0
        with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as tar:
            while sample is not None and size < max_bytes:
                for member, data in sample.items():
                    about = tarfile.TarInfo(member)  # time 0 and no owner: the same set gives the same bytes
                    about.size = len(data)
                    tar.addfile(about, io.BytesIO(data))
                    size += len(data)
                num += 1
                task.advance()
                sample = next(samples, None)
        yield _Shard(name, num)
        number += 1


def _describe(split: str, shards: list[_Shard]) -> dict[str, object]:
    return {
        "name": split,
        "num_samples": sum(shard.num_samples for shard in shards),
        "filenames": [shard.name for shard in shards],
        "shard_lengths": [shard.num_samples for shard in shards],
    }


def _use(out: Path, split: str) -> str:
    return "\n".join(
        [
            "import webdataset as wds",
            "from pathlib import Path",
            f'shards = sorted(map(str, Path({quoted(out)}).glob("{split}-*.tar")))',
            f'data = wds.WebDataset(shards, shardshuffle=100).decode("pil").to_tuple("{_KEYS}", "cls", "json")',
            "from timm.data import create_dataset",
            f'timm_data = create_dataset("wds/", {quoted(out)}, split="{split}")',
        ]
    )


KIND = Kind(
    name="wds",
    title="shards of tar files, read by webdataset and timm",
    prepare=prepare,
    options=frozenset({"repeats", "convert", "shard_mb"}),
)
