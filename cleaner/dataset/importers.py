"""Reads seeds of the noise stage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cleaner.dataset.names import matching_names
from cleaner.dataset.store import digest_of, sha256_file
from cleaner.dataset.tables import plain_names, read_table, read_truth, refuse, require_columns, with_rows
from cleaner.errors import BadInputError, first_few

SEED_KINDS = {"noise": True, "normal": False}
"""The folders in a folder of seeds, and whether their images are noise."""
_DAMAGED, _SOUND = "files that are not readable images", "readable images"


def read_seeds(path: Path, manifest: pd.DataFrame) -> pd.DataFrame:
    """Images that people marked as noise or as normal: one row per image (content), ordered by image_id.

    `path`: a table (.csv, .tsv, .parquet) with file_name and is_noise (true/false, 1/0, yes/no), or a folder with
    `noise/` and `normal/`, whose files are found in the manifest by their content. `manifest`: columns file_name,
    image_id and readable. Returns columns image_id, file_name (the first of its copies; '' for a file that is not in
    the manifest), path (where such a file lies, else '') and is_noise (bool).

    Raises BadInputError, naming file and row, for a file name that the manifest lacks, one without a readable image, a
    value that is neither true nor false, an image marked as both kinds (even through an exact copy), or a kind without
    images.
    """
    seeds = _seeds_in_folder(path, manifest) if path.is_dir() else _seeds_in_table(path, manifest)
    _check_kinds(path, seeds)
    unique = seeds.drop_duplicates("image_id").sort_values("image_id", kind="stable").reset_index(drop=True)
    return unique[["image_id", "file_name", "path", "is_noise"]]


def seeds_digest(seeds: pd.DataFrame) -> str:
    """Hex digest of the images and kinds that `read_seeds` returns, however they were listed."""
    return digest_of(sorted([str(i), bool(n)] for i, n in zip(seeds["image_id"], seeds["is_noise"], strict=True)))


def _seeds_in_table(path: Path, manifest: pd.DataFrame) -> pd.DataFrame:
    frame = read_table(path)
    require_columns(frame, path, ("file_name", "is_noise"))
    is_noise = read_truth(frame["is_noise"], path)
    names = plain_names(frame["file_name"])
    named = manifest["file_name"].isin(names.tolist()).to_numpy(bool)
    if not names.map(str.isascii).all():  # their form may differ
        named |= ~manifest["file_name"].map(str.isascii).to_numpy(bool)
    known = manifest[named].astype({"file_name": object, "image_id": object}).set_index("file_name")
    names = matching_names(names, known.index)
    unknown = names[~names.isin(known.index)]
    refuse(
        path, with_rows(unknown), "unknown file names", expected="file_name as in the manifest: relative to the images"
    )
    found = known.loc[names.tolist()]
    damaged = names[~found["readable"].to_numpy(dtype=bool)]
    refuse(path, with_rows(damaged), _DAMAGED, expected=_SOUND)
    image_ids = found["image_id"].tolist()
    where = [f"{name} (row {row})" for row, name in names.items()]
    return _seed_frame(image_ids, _first_names(manifest, image_ids), [""] * len(frame), is_noise, where)


def _seeds_in_folder(path: Path, manifest: pd.DataFrame) -> pd.DataFrame:
    absent = [kind for kind in SEED_KINDS if not (path / kind).is_dir()]
    if absent:
        raise BadInputError(
            f"{path}: no folder {' and no folder '.join(f'{kind}/' for kind in absent)}",
            expected="noise/ with images of no class and normal/ with good ones",
            found=first_few(sorted(p.name for p in path.iterdir())) or "nothing",
            next_step="make them, or give a table with file_name and is_noise",
        )
    files = [(file, is_noise) for kind, is_noise in SEED_KINDS.items() for file in _files_below(path / kind)]
    image_ids = [sha256_file(file) for file, _ in files]
    names = _first_names(manifest, image_ids)
    shown = manifest[manifest["image_id"].isin(image_ids).to_numpy(bool)]
    damaged = set(shown.loc[~shown["readable"].to_numpy(dtype=bool), "image_id"])
    paths = [str(file) for file, _ in files]
    bad = [p for p, image_id in zip(paths, image_ids, strict=True) if image_id in damaged]
    refuse(path, bad, _DAMAGED, expected=_SOUND)
    outside = ["" if name else where for name, where in zip(names, paths, strict=True)]
    return _seed_frame(image_ids, names, outside, [is_noise for _, is_noise in files], paths)


def _files_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "Thumbs.db" and not p.name.startswith("."))


def _first_names(manifest: pd.DataFrame, image_ids: list[str]) -> list[str]:
    shown = manifest[manifest["image_id"].isin(image_ids).to_numpy(bool)].iloc[::-1]
    first = dict(zip(shown["image_id"], shown["file_name"], strict=True))
    return [first.get(image_id, "") for image_id in image_ids]


def _seed_frame(
    image_ids: list[str], names: list[str], paths: list[str], is_noise: Iterable[bool], where: list[str]
) -> pd.DataFrame:
    columns = {"image_id": image_ids, "file_name": names, "path": paths, "where": where}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    return frame.assign(is_noise=pd.Series(list(is_noise), dtype=bool))


def _check_kinds(path: Path, seeds: pd.DataFrame) -> None:
    both = seeds.groupby("image_id")["is_noise"].transform("nunique") > 1
    if both.any():
        first = seeds.loc[both, "image_id"].iloc[0]
        same = seeds.loc[seeds["image_id"] == first]
        raise BadInputError(
            f"{path}: {seeds.loc[both, 'image_id'].nunique()} images are marked both as noise and as normal",
            found=", ".join(
                f"{w} as {'noise' if n else 'normal'}" for w, n in zip(same["where"], same["is_noise"], strict=True)
            ),
            next_step="exact copies are one image: mark each as one kind only",
        )
    for kind, is_noise in SEED_KINDS.items():
        if not (seeds["is_noise"] == is_noise).any():
            raise BadInputError(
                f"{path}: no seed that is {kind}",
                expected="some images of each kind, 50 or more for calibrated scores",
                found=f"{len(seeds)} of the other kind",
                next_step="add some to it",
            )
