"""What the second look finds of pairs, and its limits chosen by leaving one set out, beside baselines."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import EmbeddingSettings, RunOptions, ScanSettings
from cleaner.dataset.files import list_files
from cleaner.dataset.inspection import Limits
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.embeddings import load_square
from cleaner.scoring import second_look
from cleaner.stages.inputs import inspect_with_engine
from cleaner.stages.near_copies import propose_pairs
from cleaner.stages.near_looks import look_at_batch
from cleaner.stages.scan_copies import pictures_of

AGREEMENTS, COLOURS = np.arange(0.85, 0.996, 0.005), np.arange(0.05, 0.41, 0.05)
RADII, COSINES = np.arange(0, 25, 2), np.concatenate([np.arange(0.7, 0.98, 0.02), np.arange(0.98, 1, 0.002)])
Found = dict[str, float]
"""Precision, recall and F1 of pairs."""


def look_at_all(root: Path, truth: pd.DataFrame) -> pd.DataFrame:
    """The planted copies and all pairs that are proposed: which `kind` of copy each is, what proposed it, measures.

    `kind` is '' for two pictures that are no copies, `proposed` is '' for copies that nothing proposes.
    """
    files = list_files(root, follow_symlinks=False)
    limits = Limits(ScanSettings.max_pixels, ScanSettings.file_timeout)
    with tempfile.TemporaryDirectory() as scratch:
        work = Workspace(Path(scratch))
        facts = inspect_with_engine(work, files, "looks", "scan", limits, RunOptions(workers=1))
        pictures = pictures_of(files, facts, np.arange(len(files)), work)
    pairs, sides = propose_pairs(pictures, ScanSettings.near_radius), pictures.sides
    found = look_at_batch(tuple((sides[i], sides[j], placing) for i, j, placing in pairs))["found"]
    names = [file.name for file in files]
    shows, kinds = (truth.loc[names, column].to_numpy() for column in ("picture", "kind"))
    whole = (0.0, 0.0, 1.0, 1.0)
    rows = [
        {
            "first": names[i],
            "second": names[j],
            "kind": (kinds[i] or kinds[j]) if shows[i] == shows[j] else "",
            "proposed": "hash" if placing.turn or placing.frame == whole else "keypoints",
            "agreement": one[0],
            "other_colour": one[1],
            "stretch": one[6],
        }
        for (i, j, placing), one in zip(pairs, found.tolist(), strict=True)
    ]
    met = {shows[i] for i, j, _ in pairs if shows[i] == shows[j]}
    missed = truth[(truth["kind"] != "") & ~truth["picture"].isin(met)]
    rows += [
        {"first": name, "second": "", "kind": kind, "proposed": ""}
        | {"agreement": 0.0, "other_colour": 1.0, "stretch": 9.0}
        for name, kind in missed["kind"].items()
    ]
    return pd.DataFrame(rows)


def why_missed(looks: pd.DataFrame) -> pd.DataFrame:
    """Of the planted copies of each kind: how many are found, and what refuses the others first."""
    limits = second_look.LEAST_AGREEMENT, second_look.MOST_OTHER_COLOUR
    why = np.select(
        [
            looks["proposed"] == "",
            looks["stretch"] > second_look.MOST_STRETCH,
            looks["agreement"] < limits[0],
            looks["other_colour"] > limits[1],
        ],
        ["not proposed", "stretch", "detail", "colour"],
        "found",
    )
    planted = looks["kind"] != ""
    return pd.crosstab(looks.loc[planted, "kind"], why[planted])


def pairs_at(looks: pd.DataFrame, agreement: float, colour: float) -> Found:
    """How the pairs with these limits of the second look do."""
    alike = (looks["agreement"] >= agreement) & (looks["other_colour"] <= colour)
    found = alike & (looks["stretch"] <= second_look.MOST_STRETCH)
    copies = looks["kind"] != ""
    return _found(int((found & copies).sum()), int(found.sum()), int(copies.sum()))


def _found(right: int, found: int, copies: int) -> Found:
    f1 = 2 * right / (found + copies) if found + copies else np.nan
    return {"precision": right / found if found else np.nan, "recall": right / copies, "F1": f1}


def choose_limits(looks: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """For each set left out: the limits with the best mean F1 on the others, and how they do on it."""
    limits = [(a, c) for a in AGREEMENTS for c in COLOURS]
    at = {name: [pairs_at(frame, *limit) for limit in limits] for name, frame in looks.items()}
    rows = _leave_one_out(at, [f"{a:.3f} {c:.2f}" for a, c in limits])
    own = second_look.LEAST_AGREEMENT, second_look.MOST_OTHER_COLOUR
    rows["as set F1"] = [pairs_at(looks[name], *own)["F1"] if name in looks else np.nan for name in rows["left out"]]
    return rows


def choose_baselines(distances: dict[str, dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The same for each baseline's one limit, and the best F1 that any limit has on the set itself."""
    chosen = {}
    for baseline, by_set in distances.items():
        limits = RADII if baseline == "pHash" else 1 - COSINES
        at = {
            name: [
                _found(int((pairs["is_copy"] & near).sum()), int(near.sum()), int(pairs["is_copy"].sum()))
                for near in (pairs["apart"] <= limit + 1e-6 for limit in limits)
            ]
            for name, pairs in by_set.items()
        }
        rows = _leave_one_out(at, [f"{limit:.3f}" for limit in limits])
        rows["best F1"] = [max((one["F1"] for one in at.get(name, [])), default=np.nan) for name in rows["left out"]]
        chosen[baseline] = rows
    return chosen


def _leave_one_out(at: dict[str, list[Found]], named: list[str]) -> pd.DataFrame:
    rows = []
    for name in [*at, "none"]:
        others = [[one["F1"] for one in found] for other, found in at.items() if other != name]
        best = int(np.nanargmax(np.nanmean(others, axis=0)))
        rows.append({"left out": name, "limits": named[best], **(at[name][best] if name in at else {})})
    return pd.DataFrame(rows)


def hash_distances(root: Path, truth: pd.DataFrame) -> pd.DataFrame:
    """All pairs of a set: `apart` in bits of imagededup's pHash, and whether it `is_copy`."""
    from imagededup.methods import PHash

    with contextlib.redirect_stdout(io.StringIO()):
        codes = PHash(verbose=False).encode_images(image_dir=str(root / "all"), num_enc_workers=0)
    names = sorted(codes)
    bits = np.unpackbits(np.array([list(bytes.fromhex(codes[name])) for name in names], dtype=np.uint8), axis=1)
    return _all_pairs(names, (bits[:, None] != bits[None]).sum(axis=2), truth)


def embedding_distances(root: Path, truth: pd.DataFrame) -> pd.DataFrame:
    """The same by 1 - cosine of embeddings of EfficientNet-Lite0, as imagededup's CNN has them of a MobileNet."""
    names = sorted(path.name for path in (root / "all").iterdir())
    backbone = load_backbone(EmbeddingSettings(backbone="embedded-small", views=1), "cpu")
    pixels = np.stack([load_square(root / "all" / name, backbone.image_size) for name in names])
    parts = [backbone.embed(pixels[at : at + 64])["plain"] for at in range(0, len(pixels), 64)]
    vectors = np.concatenate(parts).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return _all_pairs(names, 1 - vectors @ vectors.T, truth)


def _all_pairs(names: list[str], apart: np.ndarray, truth: pd.DataFrame) -> pd.DataFrame:
    shows = truth.loc[[f"all/{name}" for name in names], "picture"].to_numpy()
    i, j = np.triu_indices(len(names), 1)
    return pd.DataFrame({"apart": apart[i, j], "is_copy": shows[i] == shows[j]})


BASELINES = {"pHash": hash_distances, "cosine": embedding_distances}
"""Plain measures, each with one limit: pairs below it are copies."""
