"""What the stages found out about a file, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cleaner.config import NoiseSettings
from cleaner.dataset.workspace import StageRecord
from cleaner.scoring.noise_evidence import REASONS

FAULT_WORDS = {
    "empty": "the file is empty (0 bytes)",
    "truncated": "the file is truncated: its end is missing",
    "not_an_image": "the file is not an image",
    "unsupported_format": "an image in a format that is not supported",
    "too_large": "too large: its header declares more pixels than the limit",
    "decode_error": "an image that cannot be decoded: its data is damaged (decode_error)",
    "decoder_crash": "an image that makes its decoder crash (decoder_crash)",
    "timeout": "an image that takes more CPU time to decode than --file-timeout allows (timeout)",
    "unreadable": "the file cannot be read (permissions, or a link that loops)",
    "outside_root": "a link that leads out of the images root",
    "missing": "the file is missing: a dangling link, or a list names it and it does not exist",
    "bad_name": "a bad name: it holds characters that cannot be printed",
}
REASON_WORDS = {
    "unreadable": "it cannot be read",
    "exact_duplicate": "an exact copy of a file that stays",
    "near_duplicate": "a near duplicate of a larger or less compressed file that stays",
    "split_leak": "it has a copy in another split",
    "low_quality": "scan was set to drop images of its quality",
    "noise_image": "a noise image: it belongs to no class",
    "label_issue_coarse": "its label looks wrong (coarse pass)",
    "label_issue_fine": "its label looks wrong (fine pass)",
    "label_conflict": "it has a copy under another label, which fits better",
    "low_count_class": "its class has too few images",
    "jumbled_class": "its class is a jumble without a definite label",
    "person": "a person decided so",
}


RELATION_WORDS = {
    "same_view": "the same view (size, compression or light differ)",
    "part": "a part of it",
    "wider": "it shows more",
} | {
    f"{turned}{framed}": f"{turned}{more}"
    for turned in ("mirrored", "turned")
    for framed, more in (("", ""), ("_part", ", and a part of it"), ("_wider", ", and shows more"))
}


@dataclass(frozen=True)
class Seen:
    """What is known of one file."""

    row: dict[str, Any]
    copies: list[dict[str, Any]]
    records: dict[str, StageRecord]


def verdict_words(seen: Seen) -> str:
    """Whether the file was kept, and why."""
    row = seen.row
    if not row["keep"]:
        reason = row["drop_reason"]
        return f"dropped by {row['drop_stage']} ({reason}): {REASON_WORDS.get(reason, reason)}"
    label = f"kept as {row['clean_label']!r}"
    if row["clean_label"] != row["label"]:
        label += f", given as {row['label']!r}"
    issue = row.get("label_issue", "")
    return f"{label}; a {issue} label issue for people to look at{_odds(row)}" if issue else label


def words_of(stage: str, seen: Seen, rounds: list[dict[str, Any]]) -> list[str]:
    """What `stage` found out about the file, line by line."""
    words = _WORDS[stage](seen, rounds) if stage in _WORDS else []
    if seen.row["drop_stage"] == stage:
        reason = seen.row["drop_reason"]
        words.append(f"dropped here: {reason} ({REASON_WORDS.get(reason, reason)})")
    return words


def _scan(seen: Seen, rounds: list[dict[str, Any]]) -> list[str]:
    row = seen.row
    words = [f"label {row['label']!r}, split {row['split']}, {row['file_bytes']:,} bytes"]
    words += [str(row["notes"])] if row.get("notes") else []
    if row["fault"]:
        return [*words, f"fault {row['fault']}: {FAULT_WORDS.get(row['fault'], row['fault'])}"]
    words.append(f"{row['width']:,} x {row['height']:,} px, {row['format']}, mode {row['mode']}")
    if row.get("quality"):
        words.append(f"quality: {str(row['quality']).replace(',', ', ').replace('_', ' ')}")
    for kind in ("exact", "near"):
        names = [
            f"{c['file_name']} ({'kept' if c['keep'] else c['drop_reason']})" for c in seen.copies if c["kind"] == kind
        ]
        if names:
            words.append(f"{kind} {'copy' if kind == 'exact' else 'duplicate'} of {', '.join(names)}")
    if relation := RELATION_WORDS.get(row.get("duplicate_relation", "")):
        words.append(f"compared with the first file of its group: {relation}")
    if row["label_conflict"]:
        labels = sorted({row["label"], *(c["label"] for c in seen.copies if c["kind"] == "exact")})
        words.append(f"label conflict: it has copies under several labels: {', '.join(labels)}")
    return words


def _noise(seen: Seen, rounds: list[dict[str, Any]]) -> list[str]:
    row, settings = seen.row, seen.records["noise"].settings
    if not row["noise_evidence"]:
        return [f"not judged: dropped by {row['drop_stage'] or 'an earlier stage'}"]
    threshold = settings.get("threshold", NoiseSettings.threshold)
    words = []
    for r in rounds:
        found = f"above {threshold:g}: found" if r["found"] else f"not above {threshold:g}, or a seed"
        words.append(f"round {r['round']}: noise probability {r['noise_prob']:.3f} ({found})")
    if not rounds and row["noise_evidence"] != "seed":
        words.append(
            f"in no round was its noise probability above {settings.get('doubtful', NoiseSettings.doubtful):g}"
        )
    what = "a noise image (belongs to no class)" if row["is_noise"] else "not a noise image"
    by = {"seed": "it is a seed", "person": "a person decided so", "model": "by the model"}[row["noise_evidence"]]
    words.append(f"noise probability {row['noise_prob']:.3f}: {what}, {by}")
    if row["noise_round"] > 0:
        words[-1] += f", first found in round {row['noise_round']}"
    if row.get("noise_reason"):
        reason = row["noise_reason"]
        words.append(f"most for noise speaks {REASONS.get(reason, 'something else')} (noise_reason {reason})")
    return words


def _labels(seen: Seen, rounds: list[dict[str, Any]]) -> list[str]:
    row = seen.row
    if not row["label_evidence"]:
        return [f"not judged: {row['drop_stage'] or 'its split'} kept it out"]
    passes = {p["pass"]: p["top_k"] for p in seen.records["labels"].notes.get("passes", [])}
    if seen.records["labels"].notes.get("learner") == "predictions":
        words = ["judged by the predictions of --pred-probs"]
    else:
        words = [f"fold {row['fold']}: judged by models that had not seen it"]
    for r in rounds:
        words.append(_label_round(r, passes.get(r["pass"], 0), row["label"]))
    prob, rule = row.get("label_issue_prob", math.nan), seen.records["labels"].notes.get("rule", {})
    if not math.isnan(prob):
        words.append(f"wrong with a probability of {_share(prob)}; above {_share(rule['threshold'])} it looks wrong")
    if row["label_evidence"] == "person":
        return [*words, f"a person decided: {row['clean_label']!r}" if row["keep"] else "a person dropped it"]
    if row["label_issue"]:
        words.append(f"{row['label_issue']} label issue: {_judgement(row, rule.get('threshold', math.nan))}")
    elif row["pulled_back_round"] > 0:
        words.append(f"pulled back in round {row['pulled_back_round']}: the label stands")
    elif row["given_rank"] >= 0:
        words.append("the given label stands")
    else:
        words.append("not scored: no other fold holds an image of its class")
    if row["clean_label"] != row["label"]:
        words.append(f"relabelled: {row['label']!r} became {row['clean_label']!r}")
    return words


def _judgement(row: dict[str, Any], threshold: float) -> str:
    """What a label issue means: by the probability that the label is wrong where there is one, else by its rank."""
    prob, label = row.get("label_issue_prob", math.nan), row["label"]
    guess = f"perhaps {row['suggested_label']!r} ({_share(row['suggested_prob'])})"
    if math.isnan(prob):
        return f"{label!r} is not what the models see; {guess}"
    if prob > 0.5:
        return f"{label!r} is probably wrong; {guess}"
    if prob > threshold:
        return f"{label!r} is about as likely wrong as right; {guess}"
    return f"the passes left it negative, but {label!r} is probably right; if not, {guess}"


def _odds(row: dict[str, Any]) -> str:
    prob = row.get("label_issue_prob", math.nan)
    return "" if math.isnan(prob) else f", wrong with a probability of {_share(prob)}"


def _label_round(r: dict[str, Any], top_k: int, label: str) -> str:
    zero = "as predicted" if r["recipe"] == "predictions" else "cross-training"
    where = zero if r["round"] == 0 else f"round {r['round']}"
    if r["given_rank"] < 0:
        return f"{r['pass']} (top {top_k}) {where}: not scored"
    rank = f"{label!r} ranks {r['given_rank'] + 1} with {_share(r['self_confidence'])}"
    outcome = "positive" if r["round"] == 0 else "pulled back"
    outcome = outcome if r["positive"] else "negative"
    return f"{r['pass']} (top {top_k}) {where} ({r['recipe']}): {rank}, predicted {r['predicted_label']!r}: {outcome}"


def _balance(seen: Seen, rounds: list[dict[str, Any]]) -> list[str]:
    row = seen.row
    if not row["keep"] and row["drop_stage"] != "balance":
        return [f"not counted: dropped by {row['drop_stage']}"]
    actions = {
        "keep": "stays",
        "drop": "is dropped: a jumble, too small, or a person decided so",
        "review": "is left to people: small, and not clearly one thing",
    }
    action = actions.get(row["class_action"], row["class_action"])
    words = [f"class {row['clean_label']!r} has {row['class_size']:,} kept images and {action}"]
    if row["keep"]:
        words.append(f"used {row['repeats']} time{'' if row['repeats'] == 1 else 's'} in training")
    return words


def _share(value: Any) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.3f}"


_WORDS = {"scan": _scan, "noise": _noise, "labels": _labels, "balance": _balance}
"""What is said of a file, by stage."""
