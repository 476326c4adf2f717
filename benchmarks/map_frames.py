"""The map in the report of a large workspace: size of the page, and how smoothly the map moves.

    python benchmarks/map_frames.py [--images 500000] [--classes 5000] [--seconds 5]

Makes the workspace of report_scale.py with a map of random points, writes its report, opens it in a headless Chromium
(selenium, chromedriver; no GPU) at 1280 x 900, and moves the map for some seconds by pointer events, one in each frame.
Prints the seconds and megabytes of the report, the frames a second, and the longest frame.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from report_scale import _MEASURED, answer_audit, make_workspace
from selenium import webdriver

from cleaner.dataset.embedding_map import MapRecord, write_map

MOVE = """
const done = arguments[1], seconds = arguments[0], canvas = document.querySelector('.map');
canvas.scrollIntoView();
const box = canvas.getBoundingClientRect();
const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {clientX: x, clientY: y, pointerId: 1}));
canvas.setPointerCapture = () => {};
send('pointerdown', box.left + 300, box.top + 300);
const times = [performance.now()];
const step = (now) => {
  times.push(now);
  const t = times.length / 20;
  send('pointermove', box.left + 300 + 120 * Math.sin(t), box.top + 300 + 90 * Math.cos(t));
  if (now - times[0] < 1000 * seconds) requestAnimationFrame(step);
  else {
    const gaps = times.slice(2).map((time, i) => time - times[i + 1]);
    done({frames_a_second: 1000 * gaps.length / gaps.reduce((a, b) => a + b), longest_ms: Math.max(...gaps)});
  }
};
requestAnimationFrame(step);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--classes", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder), args.images, args.classes)
        answer_audit(workspace, np.random.default_rng(2))
        ids = workspace.manifest(columns=["image_id"])["image_id"].drop_duplicates().to_numpy(object)
        points = np.random.default_rng(3).random((len(ids), 2), np.float32)
        record = MapRecord(key="0" * 64, method="principal", networks="none", num_images=len(ids), created_utc="")
        write_map(workspace, ids, points, record)
        command = [sys.executable, "-c", _MEASURED, str(workspace.root)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(json.dumps(found | measure_frames(workspace.root / "report.html", args.seconds), indent=2))


def measure_frames(page: Path, seconds: float) -> dict[str, float]:
    """Frames a second while the map moves, and the longest frame."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory() as profile:
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument("--window-size=1280,900")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            driver.set_script_timeout(120)
            driver.get(page.as_uri())
            found = driver.execute_async_script(MOVE, seconds)
        finally:
            driver.quit()
    return {name: round(value, 1) for name, value in found.items()}


if __name__ == "__main__":
    main()
