import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle.preprocess import Crops, Resize, ShorterSide
from pyrite.datasets import Dataset, content_hashes, content_sha256, decode, make_toy, read_images
from pyrite.datasets.decode import in_parallel
from pyrite.errors import DatasetError

decode_module = sys.modules["pyrite.datasets.decode"]  # Its namesake in the package is the function.
SIZE = Resize(height=32, width=32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("PYRITE_CACHE", str(folder))
    return folder


@pytest.fixture
def toy(tmp_path):
    make_toy(tmp_path / "toy", count=40)
    return tmp_path / "toy"


def image(side=32, value=0, mode="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(stream, mode)
    return stream.getvalue()


def state(folder):
    """Return every file below a folder with its content's hash and its time."""
    return {
        file.relative_to(folder).as_posix(): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


# What it gives


def test_pixels_hashes_and_sides(toy, cache):
    (toy / "test" / "REAL" / "0000.png").write_bytes(image(48, 7))
    dataset = Dataset.open(toy)
    decoded = decode(dataset, SIZE)
    assert decoded.pixels.shape == (40, 32, 32, 3)
    assert decoded.pixels.dtype == np.uint8
    assert sorted(map(tuple, decoded.sides.tolist())) == [*[(32, 32)] * 39, (48, 48)]
    assert decoded.failures == {}
    for i, path in enumerate(dataset.paths):
        data = (toy / path).read_bytes()
        assert decoded.hashes[i] == hashlib.sha256(data).hexdigest()
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        if expected.shape[0] == 32:
            np.testing.assert_array_equal(decoded.pixels[i], expected)
        else:
            assert (decoded.pixels[i] == 7).all()
    assert content_hashes(dataset) == decoded.hashes


def test_what_cannot_be_read_is_listed_and_nothing_takes_its_place(toy, cache):
    bad = {"FAKE/0000.png": b"", "FAKE/0009.png": b"no image", "REAL/0000.png": image()[:60]}
    for name, data in bad.items():
        (toy / "test" / name).write_bytes(data)
    (toy / "train" / "REAL" / "gone.png").symlink_to("nowhere.png")
    dataset = Dataset.open(toy)
    assert len(dataset) == 42  # 0009.png is new, and so is the link
    for _ in range(2):  # from the files, and from the cache
        decoded = decode(dataset, SIZE)
        failures = {dataset.paths[i]: failure.code for i, failure in decoded.failures.items()}
        assert failures == {
            "test/FAKE/0000.png": "empty",
            "test/FAKE/0009.png": "unsupported_format",
            "test/REAL/0000.png": "corrupt",
            "train/REAL/gone.png": "unreadable",
        }
        for i, failure in decoded.failures.items():
            assert failure.message
            assert not decoded.pixels[i].any()
            assert (decoded.hashes[i] == "") == (failure.code == "unreadable")
    assert content_hashes(dataset) == decoded.hashes


def test_nothing_but_unreadable_files(tmp_path, cache):
    (tmp_path / "m.csv").write_text("path,label\na.png,ai\nb.png,real\n")
    decoded = decode(Dataset.open(tmp_path / "m.csv"), SIZE)
    assert decoded.sides.tolist() == [[0, 0]] * 2
    assert (decoded.hashes, len(decoded.failures)) == (("", ""), 2)


def test_no_images_at_all(toy, cache):
    decoded = decode(Dataset.open(toy).select(np.array([], np.intp)), SIZE)
    assert (decoded.pixels.shape, decoded.hashes, decoded.sides.shape) == ((0, 32, 32, 3), (), (0, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_failures_of_files_with_names_that_are_not_utf8(toy, cache):
    (toy / "test" / "FAKE" / os.fsdecode(b"\xff\xfe.png")).symlink_to(os.fsdecode(b"\xfd"))
    dataset = Dataset.open(toy)
    assert [failure.code for failure in decode(dataset, SIZE).failures.values()] == ["unreadable"]
    assert len(decode(dataset, SIZE).hashes) == 41


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More files than are decoded in one process, in a zip: some damaged, some twice, some of another size."""
    path = tmp_path_factory.mktemp("many") / "many.zip"
    bad = {7: b"", 1000: b"text", 4099: image()[:50]}
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(4100):
            data = bad.get(i, image(5 if i == 2000 else 4, i % 251))
            archive.writestr(f"{'ai' if i % 2 else 'real'}/{i:05d}.png", data)
    return path


def test_many_files_in_many_processes_give_the_same(many, cache, monkeypatch):
    preprocess = Resize(height=4, width=4)
    monkeypatch.chdir(many.parent)
    dataset = Dataset.open("many.zip")
    steps = []
    whole = decode(dataset, preprocess, lambda done, total: steps.append((done, total)))
    assert len(dataset) == 4100
    assert steps == sorted(steps)
    assert len(steps) > 1
    assert steps[-1] == (4100, 4100)
    # Pieces small enough for one process each, and a folder that the worker processes were not started in.
    (cache / "x").mkdir()
    monkeypatch.chdir(cache / "x")
    for piece in np.array_split(np.arange(4100), 3):
        part = decode(dataset.select(piece), preprocess)
        np.testing.assert_array_equal(part.pixels, whole.pixels[piece])
        assert part.hashes == tuple(whole.hashes[i] for i in piece)
        assert {piece[i]: failure for i, failure in part.failures.items()} == {
            i: failure for i, failure in whole.failures.items() if i in piece
        }
    assert {dataset.paths[i]: pair for i, pair in enumerate(whole.sides.tolist()) if pair != [4, 4]} == {
        "ai/00007.png": [0, 0], "real/01000.png": [0, 0], "real/02000.png": [5, 5], "ai/04099.png": [0, 0],
    }  # fmt: skip
    assert {dataset.paths[i]: failure.code for i, failure in whole.failures.items()} == {
        "ai/00007.png": "empty",
        "real/01000.png": "unsupported_format",
        "ai/04099.png": "corrupt",
    }
    assert content_hashes(dataset) == whole.hashes


def test_workers_find_a_relative_source_and_cache_after_a_change_of_folder(many, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("PYRITE_CACHE", "cache")
        shutil.copy(many, "many.zip")
        decoded = decode(Dataset.open("many.zip"), Resize(height=2, width=2))
        assert len(decoded.failures) == 3
        assert len(list((tmp_path / name / "cache").glob("decoded-*"))) == 1


# By bytes


def chunk_and_process(storage, start, names):
    return start, len(names), os.getpid()


@pytest.fixture
def photos(tmp_path):
    """Eighteen photographs of 12 megapixels, of which most are links to one."""
    for i in range(18):
        path = tmp_path / "photos" / ("ai" if i % 2 else "real") / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < 2:
            Image.new("RGB", (4000, 3000), (i, 0, 0)).save(path)
        else:
            path.symlink_to(tmp_path / "photos" / ("ai/1.jpg" if i % 2 else "real/0.jpg"))
    return Dataset.open(tmp_path / "photos")


def test_large_photographs_are_worked_on_a_few_at_a_time_and_small_images_by_hundreds(photos, many, monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    chunks = list(in_parallel(chunk_and_process, photos))
    assert [(start, count) for start, count, _ in chunks] == [(start, 3) for start in range(0, 18, 3)]
    assert os.getpid() not in {process for *_, process in chunks}  # They are as much work as thousands of small ones.
    assert {count for _, count, _ in in_parallel(chunk_and_process, Dataset.open(many))} == {512, 4}


def test_no_more_are_decoded_at_once_than_memory_has_room_for(photos, monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 64)
    asked = []
    monkeypatch.setattr("joblib.Parallel", lambda n_jobs, **_: lambda chunks: asked.append(n_jobs) or [])
    # An image of 36 MB takes up to four times as much, and half of the memory may go.
    for memory, jobs in ((10**8, 1), (10**9, 3), (10**10, 18), (None, 18)):
        monkeypatch.setattr(decode_module, "available_memory", lambda memory=memory: memory)
        assert list(in_parallel(chunk_and_process, photos)) == []
        assert asked.pop() == jobs


def test_reading_files_alone_is_little_work(photos, monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    assert [process for *_, process in in_parallel(chunk_and_process, photos, decoding=False)] == [os.getpid()]


# Crops, and what random ones are taken from


def ramp(width, height):
    """An image of which each pixel tells where it is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, 16 * (x // 256) + y // 256], -1).astype(np.uint8)


@pytest.fixture
def sizes(tmp_path):
    """A PNG for each of some (width, height), on either side of a crop's and a canvas's."""
    shapes = [(10, 12), (30, 12), (20, 20), (40, 40), (41, 40), (300, 500), (17, 600)]
    rows = ["path,label"]
    for i, (width, height) in enumerate(shapes):
        Image.fromarray(ramp(width, height)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'ai' if i % 2 else 'real'}")
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "m.csv").write_text("\n".join([*rows, "bad.png,real"]) + "\n")
    return Dataset.open(tmp_path / "m.csv"), [ramp(*shape) for shape in shapes]


def test_of_crops_the_middle_one_is_a_model_input_whatever_their_number(sizes, cache):
    dataset, images = sizes
    crops = Crops(height=16, width=20, most=1)
    decoded = decode(dataset, Crops(height=16, width=20, most=9, top_share=0.5), canvas=40)
    assert decoded.pixels.shape == (8, 16, 20, 3)
    for i, pixels in enumerate(images):
        np.testing.assert_array_equal(decoded.pixels[i], crops.apply(pixels)[0])
    assert list(decoded.failures) == [7]
    assert decode(dataset, crops).canvases is None
    decode(dataset, Crops(height=16, width=20, most=3), canvas=40)
    assert len(list(cache.iterdir())) == 2  # with canvases and without


def test_a_canvas_is_the_image_or_a_square_of_it_mirrored_up_to_a_crop(sizes, cache):
    dataset, images = sizes
    crops = Crops(height=16, width=20)
    canvases = decode(dataset, crops, canvas=40).canvases
    assert canvases.pixels.shape == (8, 40, 40, 3)
    assert canvases.extents.tolist() == [[16, 20], [16, 30], [20, 20], [40, 40], [40, 40], [40, 40], [40, 20], [0, 0]]
    for i, pixels in enumerate(images):
        height, width = canvases.extents[i]
        kept = canvases.pixels[i, :height, :width]
        if max(pixels.shape) <= 40:
            np.testing.assert_array_equal(kept, crops.pad(pixels))
        else:
            x, y, high = kept[0, 0].astype(int)
            left, top = x + 256 * (high // 16), y + 256 * (high % 16)
            np.testing.assert_array_equal(kept, crops.pad(pixels[top : top + 40, left : left + 40]))
        assert not canvases.pixels[i, height:].any()
        assert not canvases.pixels[i, :, width:].any()


def test_the_content_decides_where_a_canvas_lies(tmp_path, cache):
    rows, places = ["path,label"], set()
    for i in range(30):
        stream = io.BytesIO()
        Image.fromarray(ramp(250, 90)).save(stream, "PNG")
        (tmp_path / f"{i}.png").write_bytes(stream.getvalue() + bytes([i]))  # other bytes, the same pixels
        rows.append(f"{i}.png,real")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    crops = Crops(height=20, width=20)
    canvases = decode(Dataset.open(tmp_path / "m.csv"), crops, canvas=60).canvases
    places = {tuple(pixels[0, 0, :2].tolist()) for pixels in canvases.pixels}
    assert len(places) > 25
    assert max(x for x, _ in places) > 120
    assert all(x <= 190 and y <= 30 for x, y in places)
    # The same bytes elsewhere, under another name, after the cache is gone.
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "3.png", tmp_path / "other" / "x.png")
    (tmp_path / "other" / "m.csv").write_text("path,label\nx.png,ai\n")
    again = decode(Dataset.open(tmp_path / "other" / "m.csv"), crops, canvas=60).canvases
    np.testing.assert_array_equal(again.pixels[0], canvases.pixels[3])


def test_crops_of_a_canvas_lie_within_the_image_and_reach_its_corners(sizes, cache):
    canvases = decode(sizes[0], Crops(height=16, width=20), canvas=40).canvases
    indices = np.array([0, 1, 3, 6])
    whole = [canvases.pixels[i, : canvases.extents[i][0], : canvases.extents[i][1]] for i in indices]
    first = canvases.crop(indices, np.zeros((4, 2)), (16, 20))
    last = canvases.crop(indices, np.full((4, 2), 1 - 2**-53), (16, 20))
    for i, pixels in enumerate(whole):
        np.testing.assert_array_equal(first[i], pixels[:16, :20])
        np.testing.assert_array_equal(last[i], pixels[-16:, -20:])


def test_native_crops_of_many_images_in_many_processes_are_the_same(tmp_path, cache, monkeypatch):
    for name, value in (("_CHUNK", 16), ("_SERIAL_BELOW", 0)):  # As if they were large.
        monkeypatch.setattr(decode_module, name, value)
    rows = ["path,label"]
    for i in range(300):
        Image.fromarray(np.full((6 + i % 20, 30, 3), i % 256, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,real")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    dataset, crops, steps = Dataset.open(tmp_path / "m.csv"), Crops(height=8, width=8), []
    whole = decode(dataset, crops, lambda done, total: steps.append(done), canvas=16)
    assert steps == [*range(16, 300, 16), 300]
    for piece in np.array_split(np.arange(300), 2):
        part = decode(dataset.select(piece), crops, canvas=16)
        np.testing.assert_array_equal(part.pixels, whole.pixels[piece])
        np.testing.assert_array_equal(part.canvases.pixels, whole.canvases.pixels[piece])
        np.testing.assert_array_equal(part.canvases.extents, whole.canvases.extents[piece])
        assert part.hashes == tuple(whole.hashes[i] for i in piece)


def test_shorter_side_is_decoded_as_it_is_applied(sizes, cache):
    dataset, images = sizes
    geometry = ShorterSide(height=16, width=16, shorter_side=18, filter="lanczos")
    decoded = decode(dataset, geometry)
    for i, pixels in enumerate(images):
        np.testing.assert_array_equal(decoded.pixels[i], geometry.apply(pixels)[0])


# The hash of a dataset's content


def test_the_content_hash_is_of_content_labels_and_splits_alone(toy):
    def value(dataset):
        return content_sha256(dataset, content_hashes(dataset))

    before = value(Dataset.open(toy))
    (toy / "test").rename(toy / "testing")
    next((toy / "train" / "REAL").iterdir()).rename(toy / "train" / "REAL" / "x.png")
    moved = Dataset.open(toy)
    order = np.random.default_rng(0).permutation(len(moved))
    assert value(moved) == value(moved.select(order)) == before
    (toy / "testing" / "REAL" / "0000.png").rename(toy / "train" / "REAL" / "y.png")
    assert value(Dataset.open(toy)) != before
    assert value(Dataset.open(toy, classes={"REAL": 1, "FAKE": 0})) != before
    (toy / "train" / "REAL" / "x.png").write_bytes(image())
    assert value(Dataset.open(toy)) != before


def test_golden_content_hash(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\na,ai\nb,real\n")
    expected = hashlib.sha256(b"0 bb\n1 aa\n").hexdigest()
    assert content_sha256(Dataset.open(tmp_path / "m.csv"), ["aa", "bb"]) == expected
    (tmp_path / "m.csv").write_text("path,label,split\na,ai,val\nb,real,\n")
    expected = hashlib.sha256(b"0 bb\n1 aa validation\n").hexdigest()
    assert content_sha256(Dataset.open(tmp_path / "m.csv"), ["aa", "bb"]) == expected


# The cache


def test_a_second_run_reads_no_file(toy, cache):
    dataset = Dataset.open(toy)
    first = decode(dataset, SIZE)
    before = state(cache)
    shutil.rmtree(toy)
    steps = []
    again = decode(dataset, SIZE, lambda done, total: steps.append((done, total)))
    np.testing.assert_array_equal(again.pixels, first.pixels)
    assert (again.hashes, again.failures) == (first.hashes, first.failures)
    np.testing.assert_array_equal(again.sides, first.sides)
    assert state(cache) == before
    assert steps == [(40, 40)]


def test_images_that_a_reader_was_missing_for_are_tried_again_once_it_is_there(toy, cache, monkeypatch):
    module = sys.modules[decode.__module__]
    for found in (None, "found"):
        monkeypatch.setattr(module, "find_spec", lambda name, found=found: found)
        decode(Dataset.open(toy), SIZE)
    assert len(list(cache.iterdir())) == 2


def test_pixels_from_the_cache_cannot_be_changed(toy, cache):
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            decode(Dataset.open(toy), SIZE).pixels[0] = 1


def test_images_are_read_from_the_cache_as_from_memory(toy, cache):
    pixels = decode(Dataset.open(toy), Resize(height=32, width=32)).pixels
    whole = np.array(pixels)
    for chosen in ([5, 0, len(pixels) - 1], []):
        indices = np.array(chosen, np.intp)
        for there in (pixels, pixels[1:], whole):
            indices = indices[indices < len(there)]
            found = read_images(there, indices)
            np.testing.assert_array_equal(found, np.array(there)[indices])
            assert found.flags.writeable
            assert not isinstance(found, np.memmap)


def test_another_selection_or_size_has_its_own_place(toy, cache):
    dataset = Dataset.open(toy)
    sizes = [SIZE, Resize(height=16, width=32), Resize(height=32, width=32, filter="lanczos")]
    for preprocess in sizes:
        assert decode(dataset, preprocess).pixels.shape == (40, preprocess.height, preprocess.width, 3)
    part = decode(dataset.select(np.arange(5)[::-1]), SIZE)
    np.testing.assert_array_equal(part.pixels, decode(dataset, SIZE).pixels[4::-1])
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("packed", [False, True])
def test_an_altered_file_is_decoded_anew(toy, cache, packed):
    def open_toy():
        return Dataset.open(shutil.make_archive(str(toy), "zip", toy) if packed else toy)

    before = decode(open_toy(), SIZE)
    path = toy / "test" / "REAL" / "0000.png"
    altered = bytearray(path.read_bytes())
    altered[-20] ^= 0xFF  # of the same length
    path.write_bytes(altered)
    after = decode(open_toy(), SIZE)
    assert [i for i in range(40) if before.hashes[i] != after.hashes[i]] == [
        Dataset.open(toy).paths.index("test/REAL/0000.png")
    ]


@pytest.mark.parametrize("name", ["canvases.npy", "extents.npy"])
def test_a_cache_without_what_crops_are_taken_from_is_filled_again(toy, cache, name):
    dataset, crops = Dataset.open(toy), Crops(height=8, width=8)
    expected = np.array(decode(dataset, crops, canvas=16).canvases.pixels)
    (folder,) = cache.iterdir()
    (folder / name).unlink()
    np.testing.assert_array_equal(decode(dataset, crops, canvas=16).canvases.pixels, expected)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    np.testing.assert_array_equal(decode(dataset, crops, canvas=16).canvases.pixels, expected)


@pytest.mark.parametrize("damage", ["no index", "bad index", "other index", "no pixels", "short pixels", "no sides"])
def test_a_damaged_cache_is_filled_again(toy, cache, damage):
    dataset = Dataset.open(toy)
    expected = np.array(decode(dataset, SIZE).pixels)
    (folder,) = cache.iterdir()
    if damage == "no index":
        (folder / "index.json").unlink()
    elif damage == "bad index":
        (folder / "index.json").write_text('{"hashes": 3}')
    elif damage == "other index":
        (folder / "index.json").write_text('{"hashes": [], "failures": {}}')
    elif damage == "no sides":
        (folder / "sides.npy").unlink()
    elif damage == "no pixels":
        (folder / "pixels.npy").unlink()
    else:
        (folder / "pixels.npy").write_bytes((folder / "pixels.npy").read_bytes()[:-1])
    np.testing.assert_array_equal(decode(dataset, SIZE).pixels, expected)
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_an_interrupted_run_leaves_nothing_behind(toy, cache):
    dataset = Dataset.open(toy)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(dataset, SIZE, interrupt)
    assert list(cache.iterdir()) == []
    assert len(decode(dataset, SIZE).hashes) == 40


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_what_a_killed_run_left_is_never_used_and_is_removed_later(toy, cache):
    code = f"""
        import os, signal
        from pyrite.datasets import Dataset, decode
        from pyrite.bundle.preprocess import Resize
        kill = lambda done, total: os.kill(os.getpid(), signal.SIGKILL)
        decode(Dataset.open({str(toy)!r}), Resize(height=32, width=32), kill)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = cache.iterdir()
    assert left.name.startswith("decoding-")
    dataset = Dataset.open(toy)
    assert len(decode(dataset, SIZE).hashes) == 40
    assert left.exists()  # Another run might be busy there.
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    decode(dataset, Resize(height=8, width=8))
    assert not left.exists()
    assert len(list(cache.glob("decoded-*"))) == len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written(toy, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a file")
    for place in ("file", "file/below"):
        monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / place))
        with pytest.raises(DatasetError, match=r"cannot be kept in .*file.*Point PYRITE_CACHE elsewhere"):
            decode(Dataset.open(toy), SIZE)


def test_too_little_space_is_told_before_the_work(toy, cache, monkeypatch):
    usage = shutil.disk_usage(toy)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(DatasetError, match=r"needs 0\.0 GB in .*cache.*Point PYRITE_CACHE at a larger disk"):
        decode(Dataset.open(toy), SIZE)
    with pytest.raises(DatasetError, match=r"needs 0\.1 GB in .*Point PYRITE_CACHE at a larger disk, or set a smaller"):
        decode(Dataset.open(toy), Crops(height=32, width=32), canvas=700)
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on the size of files")
def test_space_that_runs_out_is_an_error_and_no_crash(toy, cache):
    code = f"""
        import resource
        from pyrite.datasets import Dataset, decode
        from pyrite.errors import DatasetError
        from pyrite.bundle.preprocess import Resize
        dataset = Dataset.open({str(toy)!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            decode(dataset, Resize(height=32, width=32))
        except DatasetError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert "Decoded images cannot be kept in" in run.stdout
    assert "Point PYRITE_CACHE elsewhere" in run.stdout
    assert list(cache.iterdir()) == []
