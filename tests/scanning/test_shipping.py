"""Bundles on their way to workers: small to send, and the same to judge by, wherever they lie."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from corpora import read_rows

from pyrite.bundle import Bundle, load_bundle, save_bundle
from pyrite.errors import ScanError
from pyrite.scanning import ScanSettings, scan
from pyrite.scanning.isolated import IsolatedDetector
from pyrite.scanning.shipping import Parcel, as_folders, put, receive, send

# Ray warns of its own deprecated settings.
pytestmark = pytest.mark.filterwarnings("ignore")
MEGABYTE = 1_000_000
SETTINGS = ScanSettings(shard_size=20)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A temporary directory of the machines' own, with a path that is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="p", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def ray(folder: Path) -> Iterator[Any]:
    """A Ray that runs already, as a cluster's does, with room for a large model."""
    ray = pytest.importorskip("ray", reason="The extra scale is not installed: there is no ray.")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(folder))
            ray.init(num_cpus=2, object_store_memory=400 * MEGABYTE, include_dashboard=False, log_to_driver=False)
        yield ray
    finally:
        ray.shutdown()


@pytest.fixture
def temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That directory, without any bundle yet, as this process has it too."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    for left in folder.glob("*bundle*"):
        shutil.rmtree(left)


def rows_of(source: Path, out: Path, bundle: Bundle, engine: str, **more: Any) -> list[dict[str, Any]]:
    scan(str(source), out, bundle, settings=SETTINGS, engine=engine, **more)  # type: ignore[arg-type]
    return read_rows(out)


def test_a_large_bundle_is_small_to_send(large: Bundle) -> None:
    import pickle

    assert isinstance(large.model, Path)
    assert len(pickle.dumps(send([large]))) < 100_000


def test_a_large_bundle_reaches_machines_that_do_not_have_it_once(
    corpus: Path, large: Bundle, tmp_path: Path, temporary: Path, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows_of(corpus, tmp_path / "local", large, "local")
    sent: list[int] = []

    def put_away(parcel: Parcel) -> Parcel:
        found = replace(put(parcel), folder="/no/such/folder")  # As it is on another machine.
        sent.append(len(ray.cloudpickle.dumps(found)))
        return found

    monkeypatch.setattr("pyrite.scanning.engines.put", put_away)
    assert rows_of(corpus, tmp_path / "ray", large, "ray", workers=2) == expected
    assert len(sent) == 1
    assert sent[0] < 100_000
    [folder] = temporary.glob("pyrite-bundle-*")
    assert load_bundle(folder).info == large.info
    # What lies there is used again, and what was damaged is written anew.
    written = (folder / "model.onnx").stat().st_mtime_ns
    parcel = put_away(send([large])[0])
    assert receive(parcel).folder == str(folder)
    assert (folder / "model.onnx").stat().st_mtime_ns == written
    (folder / "golden.json").unlink()
    assert receive(parcel).open().info == large.info


def test_workers_that_write_a_bundle_at_the_same_time_end_with_one(large: Bundle, temporary: Path, ray: Any) -> None:
    parcel = replace(put(send([large])[0]), folder="/no/such/folder")
    task = ray.remote(num_cpus=0.5)(lambda parcel: (receive(parcel).folder, receive(parcel).open().info))
    found = ray.get([task.remote(parcel) for _ in range(4)])
    assert {info.files["model.onnx"] for _, info in found} == {large.model_sha256}
    assert len({folder for folder, _ in found}) == 1
    with ThreadPoolExecutor(4) as pool:
        shutil.rmtree(found[0][0])
        again = list(pool.map(lambda _: receive(parcel), range(4)))
    assert {one.open().info.files["model.onnx"] for one in again} == {large.model_sha256}
    assert [path.name for path in temporary.glob("*bundle*")] == [Path(found[0][0]).name]


def test_zips_and_what_was_made_in_memory_are_judged_by_as_they_are(
    corpus: Path, bundle: Bundle, tmp_path: Path, temporary: Path
) -> None:
    assert bundle.path
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for path in bundle.path.iterdir():
            archive.write(path, path.name)
    expected = rows_of(corpus, tmp_path / "folder", bundle, "local")
    assert rows_of(corpus, tmp_path / "zip", load_bundle(tmp_path / "bundle.zip"), "local") == expected
    assert rows_of(corpus, tmp_path / "memory", Bundle(bundle.info, bundle.files), "local") == expected
    # One whose folder holds something else than it does.
    scope = msgspec.structs.replace(bundle.info.scope, min_side=33)
    changed = replace(bundle, info=msgspec.structs.replace(bundle.info, scope=scope))
    rows = rows_of(corpus, tmp_path / "changed", changed, "local")
    assert {row["reason"] for row in rows} == {"out_of_scope", "unreadable"}
    assert not list(temporary.glob("*bundle*"))


def test_a_bundle_that_changes_while_it_judges_is_told(bundle: Bundle, tmp_path: Path) -> None:
    with as_folders([Bundle(bundle.info, bundle.files)]) as [placed]:
        parcels = send([placed])
        assert placed.path
        shutil.rmtree(placed.path)
        save_bundle(placed.path, msgspec.structs.replace(bundle.info, version="2"), bundle.files)
        with pytest.raises(ScanError, match="has changed since the scan was started"):
            IsolatedDetector(parcels, ScanSettings()).judge([b"x"])


def test_several_bundles_judge_a_corpus_as_the_detector_does(
    corpus: Path, bundle: Bundle, large: Bundle, tmp_path: Path, build_model: Callable[..., bytes]
) -> None:
    from pyrite.detector import Detector

    found = scan(str(corpus), tmp_path / "out", bundles=[bundle, large], engine="local")
    assert found.no_share == "The error rates of several bundles together are not known."
    detector = Detector(bundles=[bundle, large])
    for row in read_rows(tmp_path / "out"):
        said = detector.detect(row["path"])
        assert (row["verdict"], row["p_real"], row["p_ai"]) == (said.verdict, said.p_real, said.p_ai)
        assert (row["probability"], row["model_name"]) == (None, "brightness+brightness")
