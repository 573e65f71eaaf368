from pathlib import Path

import pytest

from pyrite.writing import whole_file, whole_folder


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with whole_file(path) as draft:
        draft.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail() -> None:
        with whole_file(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_takes_its_place_or_leaves_nothing(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "new" / "out"
    if there:
        path.mkdir(parents=True)

    def fail() -> None:
        with whole_folder(path) as draft:
            (draft / "half").write_text("")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert [*path.parent.iterdir()] == ([path] if there else [])
    with whole_folder(path) as draft:
        (draft / "whole").write_text("")
    assert [entry.name for entry in path.iterdir()] == ["whole"]
    assert [*path.parent.iterdir()] == [path]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "mine").write_text("")
    with pytest.raises(OSError, match="not empty"), whole_folder(path):
        pass
    assert [entry.name for entry in path.iterdir()] == ["mine"]
    assert [*tmp_path.iterdir()] == [path]
