import os
from pathlib import Path

import pytest

from pyrite.sources import find_files, read_list


def test_files_and_missing_paths_are_passed_on_as_given_and_in_order(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/./b", f"{tmp_path}//a", str(tmp_path), "x" * 5000]
    assert list(find_files(paths)) == paths
    assert list(find_files(paths[:2] + paths[3:], recursive=True)) == paths[:2] + paths[3:]


def test_folders_are_walked_in_order_without_hidden_entries_or_loops(tmp_path: Path) -> None:
    for name in ("b.png", "a.txt", ".hidden", "inner/c.png", "inner/deep/d.png", ".git/e.png", "last/f.png"):
        (tmp_path / "root" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "root" / name).touch()
    (tmp_path / "root" / "inner" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "g.png").touch()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    found = [os.path.relpath(path, tmp_path / "root") for path in find_files([str(tmp_path / "root")], recursive=True)]
    assert found == ["a.txt", "b.png", "inner/c.png", "inner/deep/d.png", "last/f.png", "link/g.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "closed").mkdir(mode=0)
    assert list(find_files([str(tmp_path)], recursive=True)) == [str(tmp_path / "a"), str(tmp_path / "closed")]


def test_a_folder_that_vanishes_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "z").touch()
    listdir = os.listdir

    def vanish(path: str) -> list[str]:
        if path.endswith("gone"):
            raise FileNotFoundError(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", vanish)
    assert list(find_files([str(tmp_path)], recursive=True)) == [str(tmp_path / "z"), str(tmp_path / "gone")]


def test_paths_are_found_as_they_are_asked_for() -> None:
    found = find_files(iter(["first", "second"]))
    assert next(found) == "first"


def test_a_list_keeps_names_that_are_no_text() -> None:
    assert list(read_list([b"./a b.png\r\n", b"\n", b"\xff.png"])) == ["./a b.png", os.fsdecode(b"\xff.png")]
