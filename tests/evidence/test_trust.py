"""Trust lists: those that come with Pyrite, a user's own, and newer ones."""

import json
import pickle
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from authority import make_authority
from pyrite.errors import PyriteError
from pyrite.evidence import UPDATED, Trust, describe_trust, load_trust, trust_of, update_list
from pyrite.evidence.trust import ListKind, count_certificates
from web import send, web

ROOT, OTHER = (make_authority(name)[0] for name in ("Test Authority", "Stranger"))


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYRITE_TRUST", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_the_lists_that_come_with_pyrite() -> None:
    trust = Trust.default()
    assert [(item.name, item.kind) for item in trust.lists] == [
        ("c2pa", ListKind.SIGNERS),
        ("c2pa-tsa", ListKind.TIMES),
        ("interim", ListKind.SIGNERS),
    ]
    assert [count_certificates(item.anchors) for item in trust.lists] == [30, 22, 18]
    assert count_certificates(trust.lists[2].allowed) == 86
    assert trust.lists[0].dated == "C2PA trust list of 2026-08-05"
    assert not trust.lists[0].overdue(date(2027, 8, 5))
    assert trust.lists[0].overdue(date(2027, 8, 6))
    assert not trust.lists[2].overdue(date(2999, 1, 1))
    for item in trust.lists:
        # Each of them is one, whatever stands around them in the files.
        trust_of((item.anchors + item.allowed).encode())


def test_trust_can_be_compared_hashed_and_sent() -> None:
    trust = Trust.default()
    assert pickle.loads(pickle.dumps(trust)) == trust
    assert hash(trust) == hash(load_trust(["c2pa", "interim"]))
    assert Trust() != trust


def test_lists_by_name_and_files(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_bytes(b"Our own\n" + ROOT.rstrip())  # Without a final newline.
    (tmp_path / "more.pem").write_bytes(OTHER + ROOT)
    assert load_trust(["none"]) == Trust()
    assert [item.name for item in load_trust(["c2pa"]).lists] == ["c2pa", "c2pa-tsa"]
    trust = load_trust(["interim", str(tmp_path / "own.pem")], [tmp_path / "more.pem", tmp_path / "own.pem"])
    assert [Path(item.name).name for item in trust.lists] == ["interim", "own.pem", "more.pem"]
    assert [count_certificates(item.anchors) for item in trust.lists] == [18, 1, 2]
    assert all(item.anchors.endswith("-----END CERTIFICATE-----\n") for item in trust.lists)
    # The interim list takes one usage more.
    assert set(trust.key_usages) - set(Trust().key_usages) == {"1.3.6.1.4.1.311.76.59.1.9"}


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (b"", "has none"),
        (b"garbage", "has none"),
        (b"\xff\xfe", "has none"),
        (ROOT.replace(b"MII", b"MIJ", 1), "number 1 is not"),
        (ROOT + b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", "has a damaged one"),
    ],
)
def test_what_are_not_certificates_are_refused(pem: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_bytes(pem)
    for attempt in (lambda: trust_of(pem), lambda: load_trust([str(tmp_path / "own.pem")])):
        with pytest.raises(PyriteError, match=f"must be certificates in PEM form, and .*{said}"):
            attempt()


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PyriteError, match=r"c2pb is no trust list \(c2pa, interim, none\), and there is no such file"):
        load_trust(["c2pb"])
    with pytest.raises(PyriteError, match="`none` means no trust list"):
        load_trust(["none", "c2pa"])
    with pytest.raises(PyriteError, match="cannot be read"):
        load_trust([str(tmp_path)])


def test_a_newer_list_takes_the_place_of_the_old_one_which_is_kept(tmp_path: Path, kept: Path) -> None:
    for name, pem, day in (("first", ROOT, "2027-07-01"), ("second", ROOT + OTHER, "2028-07-01")):
        scheme = {"ListIssueDateTime": f"{day}T01:02:03Z", "NextUpdate": "2029-07-01T00:00:00Z"}
        (tmp_path / f"{name}.pem").write_bytes(pem)
        (tmp_path / f"{name}.json").write_text(json.dumps({"LoTE": {"ListAndSchemeInformation": scheme}}))
        told = update_list("c2pa", str(tmp_path / f"{name}.pem"))
        assert f"issued {day}" in told
        [list_, times, _] = Trust.default().lists
        assert (list_.issued, list_.next_update) == (day, "2029-07-01")
        assert list_.source == str(tmp_path / f"{name}.pem")
        assert count_certificates(list_.anchors) == pem.count(b"BEGIN")
        assert times.issued == "2026-08-05"
    assert (kept / "c2pa.pem.old").read_bytes().count(b"BEGIN") == 1
    assert 'issued = "2027-07-01"' in (kept / "c2pa.toml.old").read_text()


def test_a_newer_list_comes_over_the_network_with_its_dates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, certificate, key = make_authority("Web", usage="1.3.6.1.5.5.7.3.1", address="127.0.0.1")
    (tmp_path / "server.pem").write_bytes(certificate + key)
    (tmp_path / "root.pem").write_bytes(root)
    scheme = {"ListIssueDateTime": "2027-07-01T00:00:00Z", "NextUpdate": "2028-07-01T00:00:00Z"}
    dates = json.dumps({"LoTE": {"ListAndSchemeInformation": scheme}}).encode()
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(dates if handler.path.endswith(".json") else ROOT)(handler)

    with web(answer, certificate=tmp_path / "server.pem") as address:
        with pytest.raises(PyriteError, match="certificate verify failed"):
            update_list("c2pa", f"{address}/list.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
        assert "issued 2027-07-01" in update_list("c2pa", f"{address}/list.pem")
    assert asked == ["/list.pem", "/list.json"]
    first = Trust.default().lists[0]
    assert (first.issued, first.source, count_certificates(first.anchors)) == ("2027-07-01", f"{address}/list.pem", 1)


def test_a_list_that_is_none_leaves_the_old_one(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "none.pem").write_text("<html>404</html>")
    (tmp_path / "huge.pem").write_bytes(ROOT + b" " * 5_000_000)
    with pytest.raises(PyriteError, match="must be certificates in PEM form"):
        update_list("c2pa", str(tmp_path / "none.pem"))
    for source, said in (
        (str(tmp_path / "gone.pem"), "cannot be read"),
        (str(tmp_path / "huge.pem"), "too large"),
        ("http://example.org/c2pa.pem", "only read over https"),
    ):
        with pytest.raises(PyriteError, match=said):
            update_list("c2pa", source)
    with pytest.raises(PyriteError, match="no list 'interim' to update"):
        update_list("interim")
    assert not kept.exists()
    assert Trust.default().lists[0].issued == "2026-08-05"


def test_a_list_without_dates_is_of_today(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_bytes(ROOT)
    update_list(UPDATED[1], str(tmp_path / "own.pem"))
    assert Trust.default().lists[1].next_update == ""
    assert Trust.default().lists[1].issued >= "2026-11-29"


def test_a_damaged_newer_list_is_told(kept: Path) -> None:
    kept.mkdir()
    (kept / "c2pa.pem").write_bytes(b"\xff\xff")
    with pytest.raises(PyriteError, match=r"cannot be read.*pyrite trust update"):
        load_trust(["c2pa"])


def test_lists_are_described() -> None:
    described = {item["name"]: item for item in describe_trust(Trust.default())}
    assert described["interim"]["certificates"] == 104
    assert described["interim"]["frozen"]
    assert described["c2pa-tsa"]["vouches_for"] == "times"
    assert json.dumps(list(described.values()))
