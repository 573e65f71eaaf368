"""From verdicts to keep, quarantine or drop."""

from collections.abc import Callable
from pathlib import Path

import pytest
from corpora import read_rows

from pyrite.bundle import Bundle
from pyrite.errors import ScanError
from pyrite.scanning.rules import read_rules

POLICY = """
otherwise = "keep"

[[rules]]
action = "quarantine"
reason = ["unreadable", "out_of_scope"]
note = "nobody has seen it"

[[rules]]
action = "drop"
verdict = ["ai"]
min_probability = 0.9

[[rules]]
action = "quarantine"
verdict = ["ai", "uncertain"]
"""


def test_the_first_rule_that_is_met_decides_and_says_so(
    corpus: Path, bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    options = ("--engine", "local", "--bundle", bundle.path, "--keep-policy", tmp_path / "policy.toml")
    _, printed, _ = run_pyrite("scan", corpus, "--out", tmp_path / "out", *options)
    rows = read_rows(tmp_path / "out")
    for row in rows:
        if row["error_code"]:
            expected = ("quarantine", "rule 1: nobody has seen it")
        elif row["verdict"] == "ai" and row["probability"] >= 0.9:
            expected = ("drop", "rule 2: verdict ai, probability at least 0.9")
        elif row["verdict"] != "real":
            expected = ("quarantine", "rule 3: verdict ai or uncertain")
        else:
            expected = ("keep", "otherwise")
        assert (row["action"], row["action_reason"]) == expected
    actions = [row["action"] for row in rows]
    assert set(actions) == {"keep", "quarantine", "drop"}
    counts = ", ".join(f"{actions.count(name)} {name}" for name in ("drop", "keep", "quarantine"))
    assert f"Policy: {counts}" in printed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("otherwise = 'burn'\nrules = []", "Invalid enum value 'burn'"),
        ("rules = []", "missing required field `otherwise`"),
        ("otherwise = 'keep'\nrules = [{action = 'drop'}]", "a rule needs a condition"),
        ("otherwise = 'keep'\nrules = [{action = 'drop', verdict = ['fake']}]", "Invalid enum value 'fake'"),
        ("otherwise = 'keep'\nrules = [{action = 'drop', min_probability = 90}]", "`float` <= 1"),
        ("otherwise = 'keep'\nrules = [{action = 'drop', verdicts = ['ai']}]", "unknown field `verdicts`"),
        ("otherwise = ", "is not a valid policy"),
        ("\udcff", "is not a valid policy"),
    ],
)
def test_a_policy_that_is_not_valid_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ScanError, match="is not a valid policy") as caught:
        read_rules(text.encode("utf-8", "surrogateescape"), "policy.toml")
    assert why in str(caught.value)
