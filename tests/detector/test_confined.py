"""Reading in a sandbox: the same as reading here, but for files that harm whoever reads them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pyrite.bundle import Bundle
from pyrite.detector import ConfinedReader, Detector, Unreadable
from pyrite.sandbox import missing
from sabotage import sabotage

# Put into the process that decodes, and into no other: what a broken decoder does at some files.
SABOTAGE = """
import sys
if "pyrite.sandbox" in sys.orig_argv:
    import os, signal, socket, time
    import pyrite.detector.reader as reader
    inner = reader.open_image
    def open_image(source, *args, **kwargs):
        name = os.path.basename(source)
        if "hang" in name:
            time.sleep(1000)
        if "crash" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "socket" in name:
            socket.socket().close()
        if "write" in name:
            open(source + ".written", "w")
        return inner(source, *args, **kwargs)
    reader.open_image = open_image
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
        found = list(detector.detect_many(paths, read=lambda source: confined.read(detector.reader, source)))
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
        here, there = (examine(path, detector, confined=one) for one in (None, confined))
        assert there.to_json() == here.to_json()
        assert (there.history.pixels == here.history.pixels).all()
        alone, inside = (explain(small, detector, confined=one) for one in (None, confined))
    assert inside.to_json() == alone.to_json()
    assert (inside.pixels == alone.pixels).all()


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
