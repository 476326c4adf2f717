"""The review server over a workspace of 100,000 images: how long pages take, how much memory it holds.

A page counts as there when its JSON and all of its thumbnails have come, over six connections as in a browser; nothing
is cached before: the workspace's thumbnails are deleted for each run. Memory is the most that the process ever held
(VmHWM).

    python benchmarks/review_scale.py [--images 100000] [--folder /tmp/big] [--runs 3]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cleaner.dataset.workspace import Workspace
from tests.support.review_server import Server, write_stages

NUM_CLASSES = 500
_NUM_PICTURES = 40
_NUM_PAGES = 20


def make_big(root: Path, num_images: int) -> Workspace:
    """A workspace whose files are all there and all different: 40 pictures of 400 x 300 with a comment each."""
    rng = np.random.default_rng(0)
    heads = []
    for _ in range(_NUM_PICTURES):
        noise = Image.fromarray(rng.integers(0, 255, (15, 20, 3), np.uint8)).resize(
            (400, 300), Image.Resampling.BICUBIC
        )
        out = io.BytesIO()
        noise.save(out, "JPEG", quality=80)
        heads.append(out.getvalue())
    rows: list[dict[str, Any]] = []
    for i in range(num_images):
        data, label = heads[i % _NUM_PICTURES], f"class_{i % NUM_CLASSES:04d}"
        comment = f"{i:08d}".encode()
        data = data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
        path = root / "images" / label / f"{i:06d}.jpg"
        if i < NUM_CLASSES:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        name = f"{label}/{i:06d}.jpg"
        rows.append(
            {
                "file_name": name,
                "label": label,
                "image_id": digest,
                "pixel_id": digest[::-1],
                "file_bytes": len(data),
                "number": i % 1000,
            }
        )
    return write_stages(
        root / "work", root / "images", pd.DataFrame(rows).sort_values("file_name").reset_index(drop=True)
    )


def load_page(server: Server, pool: ThreadPoolExecutor, **parameters: Any) -> tuple[float, dict[str, Any]]:
    """Seconds until a page and its thumbnails have come, and the page."""
    started = time.perf_counter()
    page = server.get("/api/page", **parameters)
    paths = [f"/picture/{i['key']}/thumb" for i in page["items"]]
    statuses = {answer.status for answer, _ in pool.map(lambda p: server.raw("GET", p), paths)}
    assert statuses == {200}, statuses
    return time.perf_counter() - started, page


def memory_mb(server: Server) -> float:
    """The most memory that the server ever held."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(work: Path, queue: str, limit: int) -> None:
    """Print the figures of one queue, with no thumbnail cached."""
    shutil.rmtree(work / "cache" / "thumbnails", ignore_errors=True)
    with Server(work) as server, ThreadPoolExecutor(6) as pool:
        started = time.perf_counter()
        server.enter()
        for path in ("/", "/static/style.css", "/static/app.js", "/api/state"):
            server.raw("GET", path)
        shell = time.perf_counter() - started
        first, page = load_page(server, pool, queue=queue, limit=limit)
        following, answers = [], []
        for item in page["items"][:5]:
            at = time.perf_counter()
            server.decide(queue, item, "noise")
            answers.append(time.perf_counter() - at)
        for _ in range(_NUM_PAGES):
            seconds, page = load_page(server, pool, queue=queue, limit=limit, start=page["next"])
            following.append(seconds)
        at = time.perf_counter()
        num = server.get("/api/page", queue=queue, limit=limit, search="99")["matching"]
        search = time.perf_counter() - at
        print(
            f"{queue:15} {page['num']:7,} items, {limit} a page: shell and state {shell:.2f} s, "
            f"first page {first:.2f} s, next {statistics.median(following):.2f} s (worst {max(following):.2f}), "
            f"decision {max(answers) * 1000:.0f} ms, "
            f"search ({num:,} found) {search:.2f} s, memory {memory_mb(server):.0f} MB"
        )


def main() -> None:
    """Build the workspace where it is not there yet, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.folder or Path(scratch)
        if not (root / "work" / "balance" / "stage.json").exists():
            make_big(root, options.images)
        for queue, limit in (("labels", 24), ("noise-doubtful", 60), ("noise-seeds", 24)) * options.runs:
            measure(root / "work", queue, limit)


if __name__ == "__main__":
    main()
