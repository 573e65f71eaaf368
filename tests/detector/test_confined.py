"""Reading in a sandbox: the same as reading here, but for files that harm whoever reads them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pyrite.bundle import Bundle
from pyrite.datasets import Dataset
from pyrite.datasets.shortcuts import measure_facts
from pyrite.detector import ConfinedReader, Detector, Unreadable
from pyrite.sandbox import missing
from sabotage import sabotage

# Put into the process that decodes, and into no other: what a broken decoder does at some files.
SABOTAGE = """
import sys
if "pyrite.sandbox" in sys.orig_argv:
    import os, signal, socket, time
    import pyrite.image
    inner = pyrite.image.open_image
    def open_image(source, *args, **kwargs):
        # Of bytes, what stands after the image.
        name = source[-20:].decode("latin-1") if isinstance(source, bytes) else os.path.basename(source)
        if "whole" in name and kwargs.get("at_least") is None:
            os._exit(1)
        if "hang" in name:
            time.sleep(1000)
        if "crash" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "socket" in name:
            socket.socket().close()
        if "write" in name:
            open(__file__ + ".written", "w")
        return inner(source, *args, **kwargs)
    pyrite.image.open_image = open_image
"""


@pytest.fixture
def saboteur(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(SABOTAGE, tmp_path, monkeypatch)


def draw(folder: Path, *names: str) -> list[str]:
    for name in names:
        Image.new("RGB", (40, 40), "white").save(folder / name)
    return [str(folder / name) for name in names]


def test_what_is_read_is_the_same(bundle: Bundle, tmp_path: Path) -> None:
    detector = Detector(bundle)
    paths = [*draw(tmp_path, "a.png", "b.jpg"), str(tmp_path / "none.png")]
    with ConfinedReader() as confined:
        inside = Detector(bundle, confined=confined)
        found = list(inside.detect_many(paths))
        assert inside.detect(paths[0], path="b") == detector.detect(paths[0], path="b")
        assert confined.draw(detector.reader, paths[0], 16)
        assert confined.draw(detector.reader, paths[2], 16) is None
    assert found == [detector.detect(path) for path in paths]


@pytest.mark.usefixtures("saboteur")
def test_a_file_that_hangs_or_crashes_costs_itself_alone(bundle: Bundle, tmp_path: Path) -> None:
    reader = Detector(bundle).reader
    paths = draw(tmp_path, "0.png", "1-hang.png", "2-crash.png", "3.png")
    with ConfinedReader(seconds=5) as confined:
        found = [confined.read(reader, path) for path in paths]
    codes = [one.error.code if isinstance(one, Unreadable) else None for one in found]
    assert codes == [None, "timed_out", "crashed", None]
    assert [one.path for one in found] == paths


@pytest.mark.usefixtures("saboteur")
@pytest.mark.skipif(bool(missing()), reason=" ".join(missing()) or "everything is there")
@pytest.mark.parametrize("command", ["detect", "scan"])
def test_a_decoder_that_opens_a_socket_or_writes_a_file_fails(
    command: str, bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    """Without the sandbox, both images would be judged."""
    source = tmp_path / "source"
    source.mkdir()
    draw(source, "0.png", "1-socket.png", "2-write.png", "3.png")
    if command == "detect":
        code, out, _ = run_pyrite("detect", "-r", source, "--bundle", bundle.path, "--jsonl")
        assert out.count('"code":"crashed"') == 2
    else:
        out = tmp_path / "out"
        code, told, _ = run_pyrite("scan", source, "--out", out, "--bundle", bundle.path, "--engine", "local")
        assert "2 crashed" in told
    assert code == 1
    assert len(list(source.iterdir())) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("saboteur")
@pytest.mark.skipif(bool(missing()), reason=" ".join(missing()) or "everything is there")
def test_images_that_harm_who_opens_them_are_left_out_of_reports(
    bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    """The last one does so only where it is opened with all its pixels: it is judged, and not shown."""
    data, out = tmp_path / "data", tmp_path / "out"
    for label, harm in (("REAL", [b"crash", b"socket", b"write", b"", b""]), ("FAKE", [b"", b"", b"", b"", b"whole"])):
        (data / label).mkdir(parents=True)
        for i, end in enumerate(harm):
            path = data / label / f"{i}.png"
            Image.new("L", (40, 40), 60 + 30 * i if label == "REAL" else 255 - 50 * i).save(path)
            path.write_bytes(path.read_bytes() + end)
    assert run_pyrite("evaluate", bundle.path, data, "--out", out, "--robustness")[0] == 1
    report = json.loads((out / "report.json").read_bytes())
    assert [(one["path"], one["code"]) for one in report["unreadable"]] == [
        (f"REAL/{i}.png", "crashed") for i in range(3)
    ]
    assert report["as_is"]["headline"]["images"] == 7
    assert "FAKE/4.png" not in [one["path"] for one in report["false_negatives"]]
    [left_out] = report["robustness"]["left_out"]
    assert left_out["path"] == "FAKE/4.png"
    assert "crashed the decoder" in left_out["message"]
    compared = tmp_path / "compared"
    assert run_pyrite("compare", bundle.path, bundle.path, data, "--out", compared)[0] == 1
    found = json.loads((compared / "compare.json").read_bytes())
    assert (found["images"], len(found["unreadable"])) == (7, 3)
    assert not list((tmp_path / "sabotage").glob("*.written"))


def test_facts_are_the_same_wherever_an_image_is_opened(bundle: Bundle, tmp_path: Path) -> None:
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        draw(tmp_path / label, *(f"{i}.{kind}" for i in range(3) for kind in ("png", "jpg")))
    (tmp_path / "real/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    dataset = Dataset.open(tmp_path)
    here = measure_facts(dataset)
    with ConfinedReader() as confined:
        there = measure_facts(dataset, apart=Detector(bundle, confined=confined).open)
    assert here.readable.sum() == 12
    for name in ("readable", "container", "statistics", "spectrum", "traits"):
        assert (getattr(there, name) == getattr(here, name)).all(), name


@pytest.mark.usefixtures("saboteur")
@pytest.mark.skipif(bool(missing()), reason=" ".join(missing()) or "everything is there")
@pytest.mark.parametrize(("name", "options"), [("crash", []), ("socket", ["--history"]), ("write", [])])
def test_an_image_that_harms_who_opens_it_has_no_explanation_and_one_sentence_says_so(
    name: str, options: list[str], bundle: Bundle, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    [image] = draw(tmp_path, f"{name}.png")
    before = set(tmp_path.iterdir())
    picture = tmp_path / "out.png"
    code, out, told = run_pyrite("explain", image, "--bundle", bundle.path, "--out", picture, *options)
    assert (code, out) == (1, "")
    assert "This image crashed the decoder" in " ".join(told.split())
    assert "Traceback" not in told
    assert set(tmp_path.iterdir()) == before


def test_an_explanation_is_the_same_wherever_the_image_is_opened(bundle: Bundle, tmp_path: Path) -> None:
    from pyrite.explanation import examine, explain

    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((64, 48), 60).resize((3200, 2400)).convert("RGB").save(path, exif=exif)
    small, *_ = draw(tmp_path, "b.png")
    detector = Detector(bundle)
    with ConfinedReader() as confined:
        inside = Detector(bundle, confined=confined)
        here, there = (examine(path, one) for one in (detector, inside))
        assert there.to_json() == here.to_json()
        assert (there.history.pixels == here.history.pixels).all()
        near, far = (explain(small, one) for one in (detector, inside))
    assert far.to_json() == near.to_json()
    assert (far.pixels == near.pixels).all()


def test_a_command_that_is_killed_leaves_no_process(bundle: Bundle, tmp_path: Path) -> None:
    from waiting import eventually

    draw(tmp_path, "a.png")
    script = (
        "import time, sys; from pyrite.detector import ConfinedReader, Detector; confined = ConfinedReader();"
        "confined.read(Detector(sys.argv[1]).reader, sys.argv[2]); print('ready', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(bundle.path), str(tmp_path / "a.png")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as one:
        assert one.stdout
        assert one.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{one.pid}/task/{one.pid}/children")
        decoders = [Path("/proc", pid) for pid in children.read_text().split()]
        assert len(decoders) == 1
        one.kill()
    assert eventually(lambda: not any(decoder.exists() for decoder in decoders))
