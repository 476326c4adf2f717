"""Images behind URLs, and results of tasks in a store that many machines reach: moto's S3 server on 127.0.0.1."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.files import find_file, list_files
from cleaner.dataset.images import inspect_image, load_rgb
from cleaner.dataset.lineage import open_parent
from cleaner.dataset.locations import is_remote, locate, read_bytes
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.store import ArrayStore, sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, CleanerError
from cleaner.stages.scan import run_scan
from tests.exports.readers import by_webdataset
from tests.support.program import Program

pytest.importorskip("upath", reason="universal-pathlib is not installed: pip install 'cleaner-images[ray]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'cleaner-images[ray]'")
server_of = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'cleaner-images[dev]'")

MAX_PIXELS = 100_000_000


@pytest.fixture(scope="module")
def bucket(small_images: Path) -> Iterator[str]:
    """s3://photos, which holds `small_images`, and what boto needs to find it."""
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would write to what an earlier test captured
    server.start()
    host, port = server.get_host_and_port()
    names = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    store.mkdir("photos")
    store.put(f"{small_images}/images", "photos/", recursive=True)
    for name in (".hidden.jpg", "Thumbs.db"):
        store.pipe_file(f"photos/images/{name}", b"no image")
    yield "s3://photos"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def test_what_is_a_url() -> None:
    assert is_remote("s3://bucket/a") and is_remote("gs://b") and not is_remote("/data/a") and not is_remote("s3:/b")
    assert not is_remote(Path("s3://bucket/a"))
    assert locate("file:///data/photos") == Path("/data/photos") and locate("photos") == Path("photos")
    assert str(locate("s3://bucket/a") / "b/c.jpg") == "s3://bucket/a/b/c.jpg"
    with pytest.raises(CleanerError, match="cannot be opened"):
        locate("nosuchstore://bucket/a")


def test_files_of_a_bucket_are_those_of_the_folder(bucket: str, small_images: Path) -> None:
    here, there = list_files(small_images / "images", False), list_files(locate(f"{bucket}/images"), False)
    assert [(f.name, f.size, f.fault) for f in there] == [(f.name, f.size, f.fault) for f in here]
    assert (
        all(f.mtime_ns > 0 for f in there) and there.digest() == list_files(locate(f"{bucket}/images"), False).digest()
    )
    root, first = locate(f"{bucket}/images"), there[0]
    assert find_file(root, first.name, False) == first
    assert find_file(root, "cat/none.jpg", False).fault == "missing"
    assert inspect_image(first.path, MAX_PIXELS) == inspect_image(here[0].path, MAX_PIXELS)
    assert inspect_image(f"{bucket}/images/none.jpg", MAX_PIXELS).fault == "missing"
    assert (load_rgb(first.path, 64) == load_rgb(here[0].path, 64)).all()
    with pytest.raises(BadInputError, match="can no longer be read"):
        load_rgb(root / "none.jpg", 64)
    with pytest.raises(OSError, match="does not exist"):
        read_bytes("s3://nobucket/x")


def test_a_scan_of_a_bucket_gives_the_manifest_of_the_folder(
    bucket: str, small_images: Path, small_run: Path, tmp_path: Path
) -> None:
    storage = f"{bucket}-results"
    locate(storage).mkdir()
    options = RunOptions(workers=2, storage=storage)
    place = Workspace(tmp_path / "work")
    run_scan(place, locate(f"{bucket}/images"), ScanSettings(), options)
    scanned = place.manifest_path("scan").read_bytes()
    assert scanned == (small_run / "scan" / "manifest.parquet").read_bytes()
    assert place.record("scan").images_root == f"{bucket}/images"  # type: ignore[union-attr]
    assert not (tmp_path / "work" / "cache" / "scan").exists()
    assert len(list((locate(storage) / "scan").rglob("*.arrays"))) == 2
    published = locate(storage) / "scan" / "manifest.parquet"
    assert published.read_bytes() == scanned and (published.parent / "stage.json").is_file()
    parent = open_parent(Workspace(tmp_path / "other"), "noise", published)
    assert parent.sha256 == sha256_file(published) and str(parent.images_root) == f"{bucket}/images"
    assert run_scan(place, locate(f"{bucket}/images"), ScanSettings(), options).was_current


def test_the_store_on_s3_is_whole_or_nothing(bucket: str) -> None:
    locate(f"{bucket}-store").mkdir()
    store = ArrayStore(locate(f"{bucket}-store/marks"))
    assert store.stored_keys() == [] and store.get("a") is None
    store.put("a", {"x": np.arange(5)})
    store.put("b", {"x": np.arange(3)})
    assert store.stored_keys() == ["a", "b"]
    found = store.get("a")
    assert found is not None and found["x"].tolist() == [0, 1, 2, 3, 4]
    store.path("a").write_bytes(b"damaged")
    assert store.get("a") is None
    store.path("b").unlink(missing_ok=True)
    assert store.stored_keys() == ["a"]


def test_all_stages_over_a_bucket(bucket: str, small_images: Path, small_run: Path, program: Program) -> None:
    shown = program("run", f"{bucket}/images", "-C", "work", "--seeds", small_images / "seeds.csv", "--workers", 1)
    assert shown.exit_code == 0, shown.err
    for stage in STAGES:
        manifests = [(root / stage / "manifest.parquet").read_bytes() for root in (Path("work"), small_run)]
        assert manifests[0] == manifests[1], stage
    assert program("status", "-C", "work", "--images").exit_code == 0
    refused = program("export", "-C", "work", "--to", "folder", "out")
    assert refused.exit_code == 2 and "s3://" in refused.err and "--to wds" in refused.err
    shards = program("export", "-C", "work", "--to", "wds", "shards", "--convert", "--verify")
    assert shards.exit_code == 0, shards.err
    kept = Workspace(Path("work")).read("balance", ["keep", "clean_label", "image_id", "format"]).query("keep")
    is_own = kept["format"].isin(["JPEG", "PNG", "WEBP"])
    found = by_webdataset(Path("shards"))
    assert [label for label, _ in found] == kept["clean_label"].tolist() and 0 < (~is_own).sum() < 20
    assert [f for f, own in zip(found, is_own, strict=True) if own] == list(
        kept.loc[is_own, ["clean_label", "image_id"]].itertuples(index=False, name=None)
    )


def test_a_file_url_is_a_folder(small_images: Path, small_run: Path, program: Program) -> None:
    shown = program("scan", f"file://{small_images}/images", "-C", "work")
    assert shown.exit_code == 0, shown.err
    assert Path("work/scan/manifest.parquet").read_bytes() == (small_run / "scan" / "manifest.parquet").read_bytes()
