import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pebble
import psutil
import pytest
from asking import picture
from hostile import CALLER, DEADLY, LONG, READER, SLOW, WRITER, hold, hostile_reader, tell_nonsense
from pebble.pool.base_pool import PoolStatus

from pyrite.bundle import Bundle
from pyrite.decision import Policy
from pyrite.detector import Detector, Prepared, Unreadable
from pyrite.errors import BundleError
from pyrite.image import read_header
from pyrite.results import Failure
from pyrite.sandbox import missing, tell
from pyrite.serving.decoders import Decoders, Pool, weigh
from pyrite.serving.fair import Asker
from pyrite.serving.scoring import Scorer
from pyrite.serving.uploads import HEAD
from waiting import eventually, finish_all

HEAVY = HEAD
"""Bytes after an image that make a file heavy."""


_EARLIER: set[object] = set()


def decoders_here() -> list[multiprocessing.process.BaseProcess]:
    """Return the processes of the decoders at work, without what other tests have left."""
    return [process for process in multiprocessing.active_children() if process not in _EARLIER]


@asynccontextmanager
async def decoding(
    bundle: Bundle, *, seconds: float = 600, killed: Callable[[], None] = lambda: None
) -> AsyncIterator["Ask"]:
    """Give what decodes an image for a client."""
    _EARLIER.clear()
    _EARLIER.update(multiprocessing.active_children())
    decoders = Decoders(hostile_reader(bundle.info), workers=1, seconds=seconds, killed=killed)
    await decoders.warm()
    task = asyncio.create_task(decoders.work())

    def ask(source: bytes, client: str = "someone", path: str | None = None) -> "asyncio.Task[Prepared | Unreadable]":
        header = read_header(source) if len(source) <= HEAD else None
        return asyncio.create_task(decoders.decode(source, path, Asker(client), weigh(header, len(source))))

    try:
        yield ask
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        decoders.close()


Ask = Callable[..., "asyncio.Task[Prepared | Unreadable]"]


def decode(
    bundle: Bundle, sources: Sequence[bytes], *, seconds: float = 1.0
) -> tuple[list[Prepared | Unreadable], int]:
    """Return what became of these, and how many processes did not survive."""
    lost = 0

    def count() -> None:
        nonlocal lost
        lost += 1

    async def work() -> list[Prepared | Unreadable]:
        async with decoding(bundle, seconds=seconds, killed=count) as ask:
            return await finish_all(ask(source, path=f"{i}.png") for i, source in enumerate(sources))

    return asyncio.run(work()), lost


def test_files_are_decoded_in_their_order_as_the_detector_does(bundle: Bundle) -> None:
    sources = [picture(colour) for colour in ("white", "black", "grey")] * 20 + [b"no image"]
    found, lost = decode(bundle, sources)
    reader = Detector(bundle).reader
    expected = [reader.read(source, path=f"{i}.png") for i, source in enumerate(sources)]
    assert lost == 0
    for one, other in zip(found, expected, strict=True):
        assert one.path == other.path
        if isinstance(one, Prepared) and isinstance(other, Prepared):
            assert (one.sha256, one.width, one.evidence) == (other.sha256, other.width, other.evidence)
            [mine], [theirs] = one.inputs, other.inputs
            assert mine is not None
            assert (mine == theirs).all()
        else:
            assert one == other


@pytest.mark.skipif(bool(missing()), reason=" ".join(missing()) or "everything is there")
@pytest.mark.parametrize("colour", [CALLER, WRITER, READER])
def test_a_decoder_that_opens_a_socket_or_a_file_fails(bundle: Bundle, colour: str) -> None:
    with pytest.raises(OSError, match=r"denied|No usable temporary"):
        decode(bundle, [picture(colour)])


@pytest.mark.parametrize(("colour", "code"), [(SLOW, "timed_out"), (DEADLY, "crashed")])
@pytest.mark.parametrize("padding", [0, HEAVY])
def test_a_bad_image_fails_alone(bundle: Bundle, colour: str, code: str, padding: int) -> None:
    sources = [picture("white"), picture(colour) + bytes(padding), picture("black"), picture("grey")]
    found, lost = decode(bundle, sources)
    assert [isinstance(one, Prepared) for one in found] == [True, False, True, True]
    assert isinstance(found[1], Unreadable)
    assert found[1].error.code == code
    assert lost >= 1


def test_slow_images_do_not_keep_small_ones_waiting(bundle: Bundle) -> None:
    async def work() -> bool:
        async with decoding(bundle) as ask:
            slow = [ask(picture(SLOW) + bytes(HEAVY)) for _ in range(3)]
            await asyncio.sleep(0.1)
            await finish_all(ask(picture()) for _ in range(50))
            done = any(job.done() for job in slow)
            for job in slow:
                job.cancel()
            return done

    assert not asyncio.run(work())


def test_a_job_that_nobody_waits_for_gives_its_process_back(bundle: Bundle) -> None:
    async def work() -> Prepared | Unreadable:
        async with decoding(bundle) as ask:
            slow = ask(picture(SLOW) + bytes(HEAVY))
            await asyncio.sleep(0.3)
            slow.cancel()
            [found] = await finish_all([ask(picture() + bytes(HEAVY))])
            return found

    assert isinstance(asyncio.run(work()), Prepared)


@pytest.mark.parametrize(("how", "colour"), [(signal.SIGKILL, "white"), (signal.SIGTERM, LONG)])
@pytest.mark.parametrize("padding", [0, HEAVY])
def test_processes_that_somebody_else_ends_are_replaced(bundle: Bundle, how: int, colour: str, padding: int) -> None:
    async def work() -> list[Prepared | Unreadable]:
        async with decoding(bundle, seconds=30) as ask:
            began = ask(picture(colour) + bytes(padding))
            await (asyncio.sleep(0.3) if colour == LONG else finish_all([began]))
            for process in decoders_here():
                assert process.pid
                os.kill(process.pid, how)
            await asyncio.sleep(0.5)
            return await finish_all([began, *(ask(picture() + bytes(padding)) for _ in range(3))])

    assert [isinstance(one, Prepared) for one in asyncio.run(work())] == [True] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="decoders are forked off another process on Linux alone")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("padding", [0, HEAVY])
def test_where_what_forks_decoders_off_is_ended_another_does(bundle: Bundle, how: int, padding: int) -> None:
    async def work() -> list[Prepared | Unreadable]:
        async with decoding(bundle, seconds=30) as ask:
            began = ask(picture(LONG) + bytes(padding))
            await asyncio.sleep(0.3)
            [forking] = {psutil.Process(process.pid).ppid() for process in decoders_here()}
            os.kill(forking, how)
            return await finish_all([began, *(ask(picture() + bytes(padding)) for _ in range(3))])

    assert [isinstance(one, Prepared) for one in asyncio.run(work())] == [True] * 4


def test_a_call_that_a_failing_pool_forgot_is_made_again(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that the pool takes between its last look at the calls and its end."""
    forgotten = list[pebble.ProcessFuture[object]]()

    class Forgetful(pebble.ProcessPool):  # type: ignore[misc]
        def schedule(self, *arguments: Any, **options: Any) -> "pebble.ProcessFuture[object]":
            if forgotten:
                return super().schedule(*arguments, **options)
            self._context.status = PoolStatus.ERROR
            forgotten.append(pebble.ProcessFuture())
            return forgotten[0]

    monkeypatch.setattr(pebble, "ProcessPool", Forgetful)

    async def work() -> int:
        pool = Pool(1, hostile_reader(bundle.info))
        try:
            [found] = await finish_all([asyncio.create_task(pool.run(os.getpid, seconds=60))])
            return found
        finally:
            pool.close()

    assert asyncio.run(work()) != os.getpid()
    assert forgotten[0].cancelled()


def test_a_process_tells_how_far_it_is_and_no_more_than_there_is(bundle: Bundle) -> None:
    async def work() -> list[tuple[int, int]]:
        pool, told = Pool(1, hostile_reader(bundle.info)), list[tuple[int, int]]()
        try:
            await pool.run_telling(lambda *step: told.append(step), tell, 1, 2, seconds=600)
            assert await pool.run_telling(lambda *step: told.append(step), tell_nonsense, seconds=600) == "done"
            await pool.run_telling(lambda *step: told.append(step), tell, 2, 2, seconds=600)
        finally:
            pool.close()
        return told

    assert asyncio.run(work()) == [(1, 2), (2, 2)]


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped there")
def test_what_was_at_work_is_finished_where_the_process_in_reserve_is_ended_right_after(
    bundle: Bundle, tmp_path: Path
) -> None:
    async def work() -> tuple[int, set[int | None]]:
        pool = Pool(2, hostile_reader(bundle.info), confined=False)
        try:
            held = asyncio.create_task(pool.run(hold, tmp_path, seconds=600))
            while not (began := [int(path.name) for path in tmp_path.iterdir()]):
                await asyncio.sleep(0.01)
            ended = {process.pid for process in decoders_here()}
            [reserve] = ended - set(began)
            assert reserve
            os.kill(reserve, signal.SIGSTOP)  # Else it would take over.
            os.kill(began[0], signal.SIGTERM)
            while psutil.pid_exists(began[0]):
                await asyncio.sleep(0.01)
            os.kill(reserve, signal.SIGKILL)
            (tmp_path / "go").touch()
            return await held, ended
        finally:
            pool.close()

    finisher, ended = asyncio.run(work())
    assert finisher not in ended


STUCK = """
import asyncio, multiprocessing, sys
from asking import picture
from hostile import SLOW, hostile_reader
from pyrite.bundle import load_bundle
from pyrite.serving.decoders import Decoders
from pyrite.serving.fair import Asker

async def work():
    decoders = Decoders(hostile_reader(load_bundle(sys.argv[1]).info), workers=1, seconds=600, killed=lambda: None)
    await decoders.warm()
    slow = asyncio.create_task(decoders.decode(picture(SLOW), None, Asker("someone"), float("inf")))
    await asyncio.sleep(1)
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(work())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has gone")
def test_a_server_that_is_killed_leaves_no_process_behind(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    command = [sys.executable, str(tmp_path / "stuck.py"), str(bundle.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            decoders = [Path("/proc", pid) for pid in process.stdout.readline().split()]
            assert len(decoders) == 4
            assert all(one.exists() for one in decoders)
        finally:
            process.kill()
        assert eventually(lambda: not any(one.exists() for one in decoders))


def score(detector: Detector, found: Sequence[Prepared | Unreadable]) -> tuple[list[object], list[int]]:
    """Return what became of these, and the sizes of the batches."""
    sizes: list[int] = []

    async def work() -> list[object]:
        scorer = Scorer(detector, size=4, seen=sizes.append)
        results = [scorer.submit(one, detector.policy, Asker("someone")) for one in found]
        task = asyncio.create_task(scorer.work())
        try:
            return await finish_all(results, errors=True)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            scorer.close()

    return asyncio.run(work()), sizes


def test_what_waits_is_scored_together_and_comes_to_the_same(bundle: Bundle) -> None:
    detector = Detector(bundle)
    sources = [picture(colour) for colour in ("white", "black", "grey", "red", "yellow", "green")]
    found = [detector.reader.read(source) for source in sources]
    found.append(Unreadable("x", Failure("empty", "The file is empty.")))
    results, sizes = score(detector, found)
    assert sizes == [4, 3]
    assert results == [*(detector.detect(source) for source in sources), detector.score(found[-1:])[0]]


def test_an_image_that_the_model_fails_on_fails_alone(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(bundle)
    whole = Detector.score

    def fails(self: Detector, batch: Sequence[Prepared], policies: Sequence[Policy] | None = None) -> object:
        if any(item.width == 40 for item in batch):
            raise BundleError("The model gave a logit that is infinite or not a number.")
        return whole(self, batch, policies)

    monkeypatch.setattr(Detector, "score", fails)
    sources = [picture("white"), picture("white", 40), picture("black")]
    results, _ = score(detector, [detector.reader.read(source) for source in sources])
    assert [isinstance(one, BundleError) for one in results] == [False, True, False]


def test_each_image_is_judged_by_its_own_budget(bundle: Bundle) -> None:
    detector = Detector(bundle)
    found = detector.reader.read(picture("#000000"))  # p_ai 0.01
    usual = detector.policy_for(None)
    strict = msgspec.structs.replace(usual, max_fnr=0.005)
    assert [one.verdict for one in detector.score([found, found], [usual, strict])] == ["real", "uncertain"]
