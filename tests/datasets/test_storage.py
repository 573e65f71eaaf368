import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from pyrite.datasets.storage import FolderStorage, open_storage
from pyrite.errors import DatasetError

FILES = {"ai/b.png": b"bee", "real/a.png": b"a" * 5000, "real/deep/c.png": b""}
JUNK = [
    ".hidden.png",
    ".git/x",
    "__MACOSX/real/._a.png",
    "real/._a.png",
    "real/.DS_Store",
    "ai/Thumbs.db",
    "Desktop.ini",
]


def write_folder(path, files):
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def add_link(path, name, target, kind):
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)


def write(kind, path, files):
    if kind == "folder":
        return write_folder(path / "folder", files)
    if kind == "zip":
        return write_zip(path / "a.zip", files)
    return write_tar(path / f"a.{kind}", files, f"w:{kind.partition('.')[2]}")


def content(storage):
    return {name: storage.read(name) for name in storage.names}


def refused(path, *parts):
    with pytest.raises(DatasetError) as caught:
        open_storage(path)
    for part in (path.name, *parts):
        assert part in str(caught.value)


kinds = pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])


@kinds
def test_every_file_is_found_and_read(kind, tmp_path):
    storage = open_storage(write(kind, tmp_path, FILES))
    assert storage.names == tuple(FILES)
    assert content(storage) == FILES
    # In another order, as after shuffling.
    assert [storage.read(name) for name in reversed(storage.names)] == list(FILES.values())[::-1]


@kinds
def test_hidden_files_and_what_operating_systems_leave_are_left_out(kind, tmp_path):
    storage = open_storage(write(kind, tmp_path, FILES | dict.fromkeys(JUNK, b"junk")))
    assert content(storage) == FILES


@kinds
def test_a_storage_crosses_process_borders_after_reading(kind, tmp_path):
    storage = open_storage(write(kind, tmp_path, FILES))
    storage.read("ai/b.png")
    assert content(pickle.loads(pickle.dumps(storage))) == FILES


@kinds
def test_a_name_that_is_not_there_cannot_be_read(kind, tmp_path):
    storage = open_storage(write(kind, tmp_path, FILES))
    for name in ("no.png", "real", "", "ai/b.png/x", "a\0b", "\udcff"):
        with pytest.raises(OSError):  # noqa: PT011 - whatever it says
            storage.read(name)


@kinds
def test_an_empty_source_has_no_files(kind, tmp_path):
    if kind == "folder":
        (tmp_path / "folder").mkdir()
    assert open_storage(write(kind, tmp_path, {})).names == ()


@kinds
def test_the_fingerprint_follows_every_change(kind, tmp_path):
    def fingerprint(files):
        path = write(kind, tmp_path, files)
        return open_storage(path).fingerprint

    before = fingerprint(FILES)
    seen = {before}
    for changed in (FILES | {"ai/b.png": b"bad"}, FILES | {"ai/c.png": b""}, FILES | {"ai/c.png": b"c"}):
        seen.add(fingerprint(changed))
    assert len(seen) == 4


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_the_fingerprint_does_not_hang_on_the_place(kind, tmp_path):
    path = write(kind, tmp_path, FILES)
    before = open_storage(path).fingerprint
    moved = path.rename(tmp_path / "moved")
    assert open_storage(moved).fingerprint == before


def test_the_fingerprint_of_a_folder_sees_equal_sizes_and_renames(tmp_path):
    root = write_folder(tmp_path / "x", FILES)
    seen = {open_storage(root).fingerprint}
    os.utime(root / "ai/b.png", ns=(1, 1))
    seen.add(open_storage(root).fingerprint)
    (root / "ai/b.png").rename(root / "ai/z.png")
    seen.add(open_storage(root).fingerprint)
    (root / "ai/z.png").unlink()
    seen.add(open_storage(root).fingerprint)
    assert len(seen) == 4


def test_a_relative_path_goes_on_after_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storages = [open_storage(Path(write(kind, tmp_path, FILES).name)) for kind in ("folder", "zip", "tar")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [content(storage) for storage in storages] == [FILES] * 3


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_may_begin_with_a_dot_and_never_lead_out(kind, tmp_path):
    files = {"./real/a.png": b"1", "../ai/b.png": b"2", "/etc/passwd": b"3", "x//ai/../c.png": b"4"}
    storage = open_storage(write(kind, tmp_path, files))
    found = {"real/a.png": b"1", "../ai/b.png": b"2", "/etc/passwd": b"3", "x/ai/../c.png": b"4"}
    assert content(storage) == found
    assert [p.name for p in tmp_path.iterdir()] == [f"a.{kind}"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_of_a_name_that_comes_twice_the_last_counts(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (("ai/a", b"old"), ("ai/b", b"b"), ("ai/a", b"newer")):
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:" + kind.partition(".")[2]) as archive:
            for name, data in (("ai/a", b"old"), ("ai/b", b"b"), ("./ai/a", b"newer")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    assert content(open_storage(path)) == {"ai/a": b"newer", "ai/b": b"b"}
    assert len(open_storage(path).names) == 2


def test_what_is_no_dataset(tmp_path):
    refused(tmp_path / "missing", "There is no dataset at")
    for name, data in (("empty", b""), ("text.zip", b"text"), ("image.tar", b"\x89PNG" + bytes(2000))):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, "neither a folder nor a zip or tar archive", "damaged or incomplete")


# Folders


@pytest.mark.skipif(os.name == "nt", reason="needs names of any bytes, and links")
def test_file_names_that_are_not_utf8(tmp_path):
    (tmp_path / "real").mkdir()
    name = os.fsdecode(b"real/\xff\xfe.png")
    (tmp_path / name).write_bytes(b"x")
    storage = open_storage(tmp_path)
    assert content(storage) == {name: b"x"}
    (tmp_path / name).unlink()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - what it says is looked at below
        storage.read(name)
    str(caught.value).encode()


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_links_are_followed_and_loops_are_not(tmp_path):
    elsewhere = write_folder(tmp_path / "elsewhere", {"a.png": b"a", "deep/b.png": b"b"})
    root = write_folder(tmp_path / "root", {"ai/c.png": b"c"})
    (root / "real").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root)
    (root / "ai" / "up").symlink_to("..")
    (root / "ai" / "file.png").symlink_to(elsewhere / "a.png")
    (root / "ai" / "gone.png").symlink_to("nowhere")
    (root / "ai" / "itself.png").symlink_to("itself.png")
    storage = open_storage(root)
    assert storage.names == ("ai/c.png", "ai/file.png", "ai/gone.png", "ai/itself.png", "real/a.png", "real/deep/b.png")
    assert storage.read("real/deep/b.png") == b"b"
    assert storage.read("ai/file.png") == b"a"
    for name in ("ai/gone.png", "ai/itself.png"):
        with pytest.raises(OSError, match="png"):
            storage.read(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_listed_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    storage = open_storage(tmp_path)
    assert storage.names == ("pipe.png",)
    with pytest.raises(OSError, match="not a regular file"):
        storage.read("pipe.png")


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    write_folder(tmp_path, FILES)
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    refused(tmp_path, "cannot be read", "Permission denied", "deep")


def test_files_asked_for_by_name_count_wherever_they_lie(tmp_path):
    write_folder(tmp_path, {"x/a.png": b"1", ".hidden/b.png": b"2", "root/.keep": b""})
    names = ["../x/a.png", "../.hidden/b.png", "missing.png", str(tmp_path / "x" / "a.png"), "nul\0l"]
    before = FolderStorage(tmp_path / "root", names)
    assert before.read(names[0]) == before.read(names[3]) == b"1"
    for name in names[:2]:
        now = before.fingerprint
        (tmp_path / "root" / name).write_bytes(b"longer")
        before = FolderStorage(tmp_path / "root", names)
        assert before.fingerprint != now


# Zip


@pytest.mark.parametrize("size", [10, 200, 2000])
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_truncated_archive_is_refused(kind, size, tmp_path):
    path = write(kind, tmp_path, {f"real/{i}.png": os.urandom(100) for i in range(50)})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DatasetError, match=rf"a\.{kind} (cannot be read|is neither)"):
        open_storage(path)


@pytest.mark.parametrize("size", [100, 600, 1124, 1300, 3000, 51300])
def test_a_truncated_tar_is_refused(size, tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"real/{i}.png": os.urandom(100) for i in range(51)})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DatasetError, match=r"a\.tar (cannot be read|is neither)"):
        open_storage(path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_with_a_damaged_header_is_not_taken_for_a_short_one(kind, tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"real/{i}.png": bytes(100) for i in range(9)})
    data = bytearray(path.read_bytes())
    data[4 * 1024 + 5] ^= 0xFF
    path.write_bytes(data)
    refused(path, "cannot be read", "bad checksum")


def test_damage_inside_a_compressed_tar_is_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", {f"real/{i}.png": b"%d " % i * 3000 for i in range(50)}, "w:gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    path.write_bytes(data)
    refused(path, "cannot be read")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_no_damage_gives_anything_but_our_errors(kind, seed, tmp_path):
    import random

    random.seed(seed)
    path = write(kind, tmp_path, FILES)
    data = bytearray(path.read_bytes())
    for _ in range(random.choice([1, 3, 30])):
        data[random.randrange(len(data))] = random.choice([0, 1, 0x7F, 0xFF, random.randrange(256)])
    path.write_bytes(data)
    try:
        storage = open_storage(path)
    except DatasetError:
        return
    for name in storage.names:
        try:
            storage.read(name)
        except OSError as error:
            str(error).encode()


def test_one_damaged_member_leaves_the_others_readable(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("real/a.png", b"first content")
        archive.writestr("real/b.png", b"other content")
    path.write_bytes(path.read_bytes().replace(b"first", b"fIrst"))
    storage = open_storage(path)
    assert storage.read("real/b.png") == b"other content"
    with pytest.raises(OSError, match="CRC"):
        storage.read("real/a.png")


def encrypt(path, names):
    """Set the flags that say that a member is encrypted."""
    data = bytearray(path.read_bytes())
    for signature, flags, name_at in ((b"PK\x03\x04", 6, 30), (b"PK\x01\x02", 8, 46)):
        at = data.find(signature)
        while at >= 0:
            if any(data[at + name_at :].startswith(name) for name in names):
                data[at + flags] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)


def test_a_zip_that_is_written_anew_is_read_anew(tmp_path):
    assert content(open_storage(write_zip(tmp_path / "a.zip", FILES))) == FILES
    again = dict(reversed(FILES.items())) | {".first": os.urandom(99)}  # The same listing, in other places.
    assert content(open_storage(write_zip(tmp_path / "a.zip", again))) == FILES


def test_an_encrypted_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    encrypt(path, [b"real", b"ai"])
    refused(path, "is encrypted. Unpack it")


def test_one_encrypted_member_is_unreadable(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    encrypt(path, [b"ai/b.png"])
    storage = open_storage(path)
    assert storage.read("real/a.png") == FILES["real/a.png"]
    with pytest.raises(OSError, match="encrypted"):
        storage.read("ai/b.png")


def rename(path, old, new):
    assert len(old) == len(new)
    path.write_bytes(path.read_bytes().replace(old, new))
    return path


def test_zip_names_in_no_known_encoding_are_kept_apart(tmp_path):
    path = rename(write_zip(tmp_path / "a.zip", {"real/xx.png": b"1", "real/xy.png": b"2"}), b"xx", b"\xff\xfe")
    storage = open_storage(path)
    assert len(storage.names) == 2
    assert sorted(content(storage).values()) == [b"1", b"2"]


def test_zip_names_that_claim_to_be_utf8_and_are_not(tmp_path):
    path = rename(write_zip(tmp_path / "a.zip", {"real/é.png": b"1"}), "é".encode(), b"\xff\xfe")
    refused(path, "cannot be read", "utf-8")


def test_backslashes_of_windows_programs_part_folders(tmp_path):
    path = rename(write_zip(tmp_path / "a.zip", {"real/a.png": b"1", "ai/b.png": b"2", "x/ai/": b""}), b"/", b"\\")
    assert content(open_storage(path)) == {"ai/b.png": b"2", "real/a.png": b"1"}


def test_an_unknown_compression_is_unreadable(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": b"x" * 100})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 8, 99)
    struct.pack_into("<H", data, data.find(b"PK\x01\x02") + 10, 99)
    path.write_bytes(data)
    with pytest.raises(OSError, match="compression"):
        open_storage(path).read("a.png")


# Tar


def test_links_in_a_tar_give_what_they_point_to(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"real/a.png": b"a"})
    add_link(path, "real/hard.png", "real/a.png", tarfile.LNKTYPE)
    add_link(path, "ai/soft.png", "../real/a.png", tarfile.SYMTYPE)
    add_link(path, "ai/out.png", "../../../etc/passwd", tarfile.SYMTYPE)
    add_link(path, "ai/absolute.png", "/etc/passwd", tarfile.SYMTYPE)
    add_link(path, "ai/device", "", tarfile.CHRTYPE)
    storage = open_storage(path)
    assert set(storage.names) == {"real/a.png", "real/hard.png", "ai/soft.png", "ai/out.png", "ai/absolute.png"}
    assert storage.read("real/hard.png") == storage.read("ai/soft.png") == b"a"
    for name in ("ai/out.png", "ai/absolute.png"):
        with pytest.raises(OSError, match="link"):
            storage.read(name)


def test_a_compressed_tar_keeps_its_order_so_that_it_is_read_once(tmp_path):
    names = [f"real/{i}.png" for i in (3, 1, 2)]
    assert open_storage(write_tar(tmp_path / "a.tgz", dict.fromkeys(names, b"x"), "w:gz")).names == tuple(names)


def test_a_tar_whose_times_are_all_alike_is_seen_to_change(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.png": b"one"})
    before = open_storage(path).fingerprint
    write_tar(path, {"a.png": b"two"})
    assert open_storage(path).fingerprint != before
