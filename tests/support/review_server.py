"""A small workspace made by hand, and the real review server as a process: for the tests of the page."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.manifest import with_stage_columns, write_manifest
from cleaner.dataset.workspace import Input, Workspace
from tests.support.records import record_of
from tests.support.waiting import PATIENCE_S

EVIL_LABEL = "<img src=x onerror=window.pwned=1>"
EVIL_NAME = 'quo"te\'s\nand <b>newline</b> &amp; "><script>window.pwned=2</script>.jpg'
COLORS = {"cat": (200, 60, 60), "dog": (60, 160, 60), "owl": (60, 80, 200), EVIL_LABEL: (220, 200, 40)}


def picture(color: tuple[int, int, int], seed: int, side: int = 48, mode: str = "RGB") -> bytes:
    """A JPEG (or, for mode P, a PNG) of its own: a coloured ground with random dots."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), color, np.uint8)
    pixels[rng.integers(0, side, 60), rng.integers(0, side, 60)] = rng.integers(0, 255, (60, 3))
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "P":
        image.quantize(16).save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=90)
    return out.getvalue()


def make_workspace(root: Path, per_class: int = 20) -> Workspace:
    """A workspace with all four stages, written by hand: label issues, doubtful noise, a conflict, a hostile name."""
    images = root / "images"
    rows: list[dict[str, Any]] = []
    for number, (label, color) in enumerate(COLORS.items()):
        for i in range(per_class):
            name = f"class{number}/{i:03d}.jpg" if label == EVIL_LABEL else f"{label}/{i:03d}.jpg"
            if label == "cat" and i == 0:
                name = f"cat/{EVIL_NAME}"
            data = picture(color, number * 1000 + i)
            rows.append(_row(images, name, label, data, i))
    shared = picture((9, 9, 9), 4242)
    rows += [_row(images, f"{label}/shared.jpg", label, shared, 99) for label in ("cat", "dog")]
    frame = pd.DataFrame(rows).sort_values("file_name", kind="stable").reset_index(drop=True)
    conflict = frame["file_name"].str.endswith("shared.jpg")
    frame["label_conflict"] = conflict
    frame.loc[conflict, ["duplicate_group", "duplicate_kind"]] = [7, "exact"]
    return write_stages(root / "work", images, frame)


def _row(images: Path, name: str, label: str, data: bytes, i: int) -> dict[str, Any]:
    path = images / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {
        "file_name": name,
        "label": label,
        "image_id": hashlib.sha256(data).hexdigest(),
        "pixel_id": hashlib.sha256(b"pixels" + data).hexdigest(),
        "file_bytes": len(data),
        "number": i,
    }


def write_stages(work: Path, images: Path, frame: pd.DataFrame) -> Workspace:
    """Manifests and records of all stages over rows that have file_name, label, image_id, pixel_id, number."""
    number = frame.pop("number").to_numpy()
    rows = frame.assign(
        keep=True,
        drop_stage="",
        drop_reason="",
        clean_label=frame["label"],
        split="train",
        width=48,
        height=48,
        mode=np.where(number % 4 == 0, "P", "RGB"),
        format="JPEG",
        readable=True,
        fault="",
        num_colors=500 + number,
        pixel_std=0.2,
    )
    for name, value in {"duplicate_group": -1, "duplicate_kind": "", "label_conflict": False}.items():
        if name not in rows:
            rows[name] = value
    rows["duplicate_group"] = rows["duplicate_group"].fillna(-1).astype(np.int64)
    rows["duplicate_kind"] = rows["duplicate_kind"].fillna("")
    classes = sorted(rows["label"].unique())
    other = rows["label"].map({c: classes[(i + 1) % len(classes)] for i, c in enumerate(classes)})
    workspace = Workspace(work)
    _write(workspace, "scan", rows, images, "")
    rows = with_stage_columns(rows, "noise")
    rows["noise_prob"] = np.where(number % 10 == 1, 0.7, np.where(number % 10 == 2, 0.95, 0.01)).astype(np.float32)
    rows["is_noise"] = rows["noise_prob"] > 0.9
    rows["noise_evidence"], rows["noise_round"] = "model", np.where(rows["is_noise"], 1, -1)
    _write(workspace, "noise", rows, images, "scan")
    rows = with_stage_columns(rows, "labels")
    issue = (number % 2 == 1) & ~rows["is_noise"].to_numpy()
    rows["given_rank"], rows["fold"] = np.where(issue, 2, 0), 0
    rows["self_confidence"] = np.where(issue, 0.1 + number / 1000, 0.9).astype(np.float32)
    rows["predicted_label"] = other.where(issue, rows["label"])
    rows["predicted_confidence"] = np.where(issue, 0.6 + number / 1000, 0.9).astype(np.float32)
    rows["suggested_label"], rows["suggested_prob"] = rows["predicted_label"], rows["predicted_confidence"]
    rows["label_issue"] = np.where(issue, "fine", "")
    rows["label_evidence"], rows["pulled_back_round"] = "model", 0
    _write(workspace, "labels", rows, images, "noise")
    rows = with_stage_columns(rows, "balance")
    rows["class_size"], rows["class_action"], rows["repeats"] = 20, "review", 1
    _write(workspace, "balance", rows, images, "labels")
    return workspace


def _write(workspace: Workspace, stage: str, rows: pd.DataFrame, images: Path, parent: str) -> None:
    above = workspace.record(parent) if parent else None
    digest = above.outputs["manifest.parquet"] if above else ""
    write_manifest(workspace.manifest_path(stage), rows, stage=stage, parent_sha256=digest)
    inputs = [Input("parent", f"{parent}/manifest.parquet", digest)] if parent else []
    record = record_of(stage, images_root=str(images), inputs=inputs)
    workspace.write_record(record, ["manifest.parquet"])


def stored_decisions(workspace: Workspace) -> list[tuple[str, str, str, str]]:
    """Key, verdict, label and annotator of every decision in the store, in order."""
    frame = DecisionStore(workspace.decisions_path).events()
    return list(frame[["key", "verdict", "label", "annotator"]].itertuples(index=False, name=None))


class Server:
    """`cleaner review` as a process, and a client that the server lets in."""

    def __init__(self, work: Path, *arguments: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "cleaner", "review", "-C", str(work), "--port", str(port), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = ""
        while "http" not in self.url:
            self.url = self.process.stdout.readline().strip()
            assert self.url or self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
        self.port = urlsplit(self.url).port or 0
        self.cookie = ""

    def enter(self) -> Server:
        """Use the one-time link."""
        parts = urlsplit(self.url)
        answer, _ = self.raw("GET", f"{parts.path}?{parts.query}")
        assert answer.status == 200, answer.status
        self.cookie = str(answer.getheader("Set-Cookie")).partition(";")[0]
        return self

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str | None] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request; None in `headers` leaves a header out."""
        own = f"127.0.0.1:{self.port}"
        sent: dict[str, str | None] = {"Host": own, "Cookie": self.cookie or None}
        if method == "POST":
            sent |= {"Origin": f"http://{own}", "Content-Type": "application/json"}
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at a path; the request must succeed."""
        answer, data = self.raw("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
        assert answer.status == 200, (answer.status, data)
        return json.loads(data)

    def post(self, path: str, document: Any, **headers: str | None) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        answer, data = self.raw("POST", path, json.dumps(document).encode(), dict(headers))
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, data.decode()

    def decide(self, queue: str, item: dict[str, Any], verdict: str, label: str = "", request_id: str = "") -> Any:
        """Decide on one item; the request must succeed."""
        status, answer = self.post(
            "/api/decide", decision(queue, item["key"], verdict, label, request_id, kind=item["kind"])
        )
        assert status == 200, (status, answer)
        return answer

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def decision(
    queue: str, key: str, verdict: str, label: str = "", request_id: str = "", kind: str = "image"
) -> dict[str, Any]:
    """The body of a decision on one item."""
    one = {"kind": kind, "key": key, "verdict": verdict, "label": label}
    return {"queue": queue, "request_id": request_id or uuid.uuid4().hex, "decisions": [one]}
