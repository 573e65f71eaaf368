"""The page on detections and what is found name the same keys."""

import re
from pathlib import Path

import pytest
from documented import PAGE, check_documented, read_documented

import pyrite.evidence
from pyrite.detector import panel
from pyrite.results import Evidence, Strength


def test_every_kind_has_its_keys_on_the_page() -> None:
    kinds = re.findall(r"`(\w+)`", PAGE.read_text("utf-8").partition("| kind | what it is |")[2].partition("\n\n")[0])
    # The detector adds these two, the second with no more than a sentence.
    assert read_documented().keys() == set(kinds) - {"frames"}
    assert all(read_documented().values())


def test_every_strength_is_on_the_page() -> None:
    strengths = PAGE.read_text("utf-8").partition("| strength | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", strengths, re.MULTILINE) == list(Strength)


def test_no_key_on_the_page_is_one_that_nothing_writes() -> None:
    files = [*Path(pyrite.evidence.__file__).parent.rglob("*.py"), Path(panel.__file__)]
    source = "".join(path.read_text("utf-8") for path in files)
    keys = {key for keys in read_documented().values() for key in keys}
    assert [key for key in keys if not re.search(rf'"{key}"|\b{key}=', source)] == []


@pytest.mark.parametrize("data", [{"duck": 1}, {"label": {}, "duck": 1}, {"prompt": [{"duck": 1}]}])
def test_a_key_that_the_page_does_not_name_is_noticed(data: dict[str, object]) -> None:
    check_documented(Evidence("generator", Strength.ASSERTED, None, "", {"label": {"Anything": 1}}))
    with pytest.raises(AssertionError):
        check_documented(Evidence("generator", Strength.ASSERTED, None, "", data))
