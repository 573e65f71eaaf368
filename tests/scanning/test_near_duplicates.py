"""Images that look alike get one verdict."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import read_rows
from PIL import Image

from pyrite.bundle import Bundle
from pyrite.errors import ScanError
from pyrite.image import open_image
from pyrite.scanning import ScanSettings, scan
from pyrite.scanning.hamming import BITS, find_pairs
from pyrite.scanning.near_duplicates import _serve, perceptual_hash
from pyrite.scanning.summary import Summary

CIFAKE = Path(__file__).parents[2] / "../shared/data/cifake.zip"
NEAR = ScanSettings(near_duplicates=True, shard_size=4, batch_size=3)


def scene(number: int, side: int = 64) -> Image.Image:
    """Return a picture with something of every size, as a photo has."""
    rng = np.random.default_rng(number)
    picture = np.full((side, side), 128.0)
    for cells in (2, 4, 8, 16, 32):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
        picture += (np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC), float) - 128) / cells
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).convert("RGB")


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def hashed(image: Image.Image, kind: str = "PNG", **options: int) -> int | None:
    return perceptual_hash(open_image(encoded(image, kind, **options), at_least=(32, 32)))


def test_a_hash_is_that_of_its_definition() -> None:
    """Against the transform as it is defined, one frequency at a time."""
    image = scene(3, 32)
    grey = np.asarray(image.convert("L"), float)
    frequencies = [
        sum(
            grey[y, x] * np.cos(np.pi * u * (2 * y + 1) / 64) * np.cos(np.pi * v * (2 * x + 1) / 64)
            for y in range(32)
            for x in range(32)
        )
        for u in range(8)
        for v in range(8)
    ][1:]
    bits = "".join(str(int(value > np.median(frequencies))) for value in frequencies)
    assert hashed(image) == int(bits, 2)


def test_most_copies_keep_their_hash_and_no_other_picture_has_it() -> None:
    scenes = [scene(number) for number in range(200)]
    hashes = [hashed(image) for image in scenes]
    assert len(set(hashes)) == 200
    for change in (
        lambda image: hashed(image, "JPEG", quality=75),
        lambda image: hashed(image.resize((128, 128), Image.Resampling.BICUBIC)),
        lambda image: hashed(Image.eval(image, lambda value: value * 0.9 + 5)),
    ):
        kept = [change(image) == before for image, before in zip(scenes, hashes, strict=True)]
        assert np.mean(kept) > 0.6


@pytest.mark.real_data
@pytest.mark.skipif(not CIFAKE.exists(), reason="../shared/data/cifake.zip is not here")
def test_how_many_copies_of_real_images_are_found() -> None:
    """The figures that `docs/scale.md` has: the share of copies within 0, 2 and 4 bits."""
    with zipfile.ZipFile(CIFAKE) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        chosen = np.random.default_rng(0).choice(sorted(names), 500, replace=False)
        images = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen]
    hashes = [hashed(image) for image in images]
    found = {}
    for change, make in {
        "quality 90": lambda image: hashed(image, "JPEG", quality=90),
        "quality 50": lambda image: hashed(image, "JPEG", quality=50),
        "half the size": lambda image: hashed(image.resize((16, 16), Image.Resampling.BICUBIC)),
        "twice the size": lambda image: hashed(image.resize((64, 64), Image.Resampling.BICUBIC)),
        "WebP": lambda image: hashed(image, "WEBP", quality=50),
    }.items():
        apart = [
            BITS if before is None or after is None else (before ^ after).bit_count()
            for before, after in zip(hashes, map(make, images), strict=True)
        ]
        found[change] = [float(np.mean(np.array(apart) <= bits)) for bits in (0, 2, 4)]
    assert found == {
        "quality 90": pytest.approx([0.88, 1.00, 1.00], abs=0.01),
        "quality 50": pytest.approx([0.50, 0.93, 1.00], abs=0.01),
        "half the size": pytest.approx([0.65, 0.97, 1.00], abs=0.01),
        "twice the size": pytest.approx([0.89, 1.00, 1.00], abs=0.01),
        "WebP": pytest.approx([0.38, 0.84, 0.96], abs=0.01),
    }


def test_a_flat_picture_has_no_hash() -> None:
    assert hashed(Image.new("RGB", (64, 64), (250, 250, 250))) is None
    assert hashed(Image.new("RGB", (64, 64), (0, 0, 0)), "JPEG") is None


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of three scenes and copies of two, a blank twice, and one file that is no image."""
    root = tmp_path / "source"
    root.mkdir()
    files = {
        "0-small.png": encoded(scene(3).resize((32, 32))),
        "1-other.png": encoded(scene(1)),
        "2-same.png": encoded(scene(2)),
        "3-same.png": encoded(scene(2)),
        "4-blank.png": encoded(Image.new("RGB", (32, 32))),
        "5-blank.png": encoded(Image.new("RGB", (32, 32))),
        "6-broken.png": b"no image",
        "7-large.png": encoded(scene(3)),
        "8-larger.png": encoded(scene(3).resize((128, 128), Image.Resampling.BICUBIC)),
    }
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


def judge(source: Path, out: Path, bundle: Bundle, settings: ScanSettings = NEAR) -> Summary:
    return scan(str(source), out, bundle, settings=settings, engine="local")


def test_one_verdict_serves_copies(source: Path, bundle: Bundle, tmp_path: Path) -> None:
    found = judge(source, tmp_path / "out", bundle)
    rows = read_rows(tmp_path / "out")
    place = {(row["shard"], row["position"]): row for row in rows}
    copies = pq.read_table(tmp_path / "out/copies.parquet").to_pylist()
    served = {}
    for row in copies:
        own, of = place[row["shard"], row["position"]], place[row["of_shard"], row["of_position"]]
        assert row["phash"] == own["phash"]
        assert row["distance"] == (own["phash"] ^ of["phash"]).bit_count() <= 4
        assert (row["verdict"], row["action"]) == (of["verdict"], of["action"])
        served[Path(own["path"]).name] = Path(of["path"]).name
    # The largest copy is beyond the bundle's scope, and the largest within serves.
    assert served == {
        "0-small.png": "7-large.png",
        "7-large.png": "7-large.png",
        "8-larger.png": "7-large.png",
        "2-same.png": "2-same.png",
        "3-same.png": "2-same.png",
    }
    assert found.copies
    assert (found.copies.groups, found.copies.images) == (2, 5)
    own_verdicts = [place[row["shard"], row["position"]]["verdict"] for row in copies]
    assert found.copies.changed == sum(own != row["verdict"] for own, row in zip(own_verdicts, copies, strict=True))


def test_without_the_option_there_are_no_hashes(source: Path, bundle: Bundle, tmp_path: Path) -> None:
    assert judge(source, tmp_path / "out", bundle, ScanSettings()).copies is None
    assert {row["phash"] for row in read_rows(tmp_path / "out")} == {None}
    assert not (tmp_path / "out/copies.parquet").exists()


def test_a_corpus_without_copies(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/broken.png").write_bytes(b"no image")
    found = judge(tmp_path / "source", tmp_path / "out", bundle)
    assert found.copies
    assert (found.copies.groups, found.copies.images, found.copies.changed) == (0, 0, 0)
    assert pq.read_table(tmp_path / "out/copies.parquet").num_rows == 0


def test_a_copy_further_away_is_found_with_a_larger_distance_alone(bundle: Bundle, tmp_path: Path) -> None:
    image = scene(5)
    copy = Image.eval(image.rotate(1), lambda value: value)
    first, second = hashed(image), hashed(copy)
    assert first
    assert second
    apart = (first ^ second).bit_count()
    assert 0 < apart <= 8
    (tmp_path / "source").mkdir()
    for name, data in (("a", encoded(image)), ("b", encoded(copy)), ("c", encoded(scene(6)))):
        (tmp_path / f"source/{name}.png").write_bytes(data)
    for distance, images in ((apart, 2), (apart - 1, 0)):
        settings = ScanSettings(near_duplicates=True, near_distance=distance)
        found = judge(tmp_path / "source", tmp_path / f"out-{distance}", bundle, settings)
        assert found.copies
        assert (found.copies.images, found.copies.distance) == (images, distance)


def test_a_distance_that_cannot_be_used_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    for distance in (-1, 9):
        with pytest.raises(ScanError, match=f"near_distance must be 0 to 8, not {distance}"):
            judge(tmp_path, tmp_path / "out", bundle, ScanSettings(near_distance=distance))


def test_no_chain_of_small_steps_joins_two_pictures() -> None:
    """Of five hashes in a row, each near the next, the second serves first, and the fourth takes what is left."""
    codes = np.array([0b0, 0b11, 0b1111, 0b111111, 0b11111111], np.uint64)
    first, second = find_pairs(codes, 2)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    servers = _serve(np.array([1, 0, 2, 3, 4]), first, second, 5)
    assert servers.tolist() == [1, 1, 1, 3, 3]


def test_a_distance_alone_is_refused(
    bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    options = ("--out", tmp_path / "out", "--bundle", bundle.path, "--near-distance", "2")
    code, _, said = run_pyrite("scan", tmp_path, *options)
    assert code == 2
    assert "--near-distance is for --near-duplicates" in said


def test_the_command_groups_within_a_distance(
    source: Path, bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    options = ("--engine", "local", "--bundle", bundle.path, "--near-duplicates", "--near-distance", "0")
    _, printed, _ = run_pyrite("scan", source, "--out", tmp_path / "out", *options)
    assert "Near copies: " in printed
    copies = pq.read_table(tmp_path / "out/copies.parquet")
    assert set(copies["distance"].to_pylist()) == {0}


@pytest.mark.parametrize("distance", [0, 2, 4])
def test_who_serves_whom_is_what_comparing_each_with_each_gives(distance: int) -> None:
    rng = np.random.default_rng(distance)
    centres = rng.integers(0, 1 << BITS, 20, dtype=np.uint64)
    codes = rng.choice(centres, 300)
    for _ in range(5):
        flips = np.uint64(1) << rng.integers(0, BITS, len(codes), dtype=np.uint64)
        codes ^= np.where(rng.random(len(codes)) < 0.5, flips, np.uint64(0))
    codes = np.unique(codes)
    order = rng.permutation(len(codes))
    expected = np.full(len(codes), -1)
    for node in order:
        if expected[node] < 0:
            near = np.bitwise_count(codes ^ codes[node]) <= distance
            expected[near & (expected < 0)] = node
    servers = _serve(order, *find_pairs(codes, distance), len(codes))
    assert servers.tolist() == expected.tolist()
    assert (np.bitwise_count(codes ^ codes[servers]) <= distance).all()
