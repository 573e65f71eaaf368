from pathlib import Path

from pyrite.sources import find_files


def test_files_and_missing_paths_are_passed_on_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / "b", tmp_path / "a", tmp_path]
    assert list(find_files(paths)) == paths


def test_folders_are_walked_in_order_without_hidden_entries_or_loops(tmp_path: Path) -> None:
    for name in ("b.png", "a.txt", ".hidden", "inner/c.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "inner" / "loop").symlink_to(tmp_path)
    found = find_files([tmp_path], recursive=True)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.txt", "b.png", "inner/c.png"]


def test_paths_are_found_as_they_are_asked_for(tmp_path: Path) -> None:
    found = find_files(iter([tmp_path / "first", tmp_path / "second"]))
    assert next(found) == tmp_path / "first"
