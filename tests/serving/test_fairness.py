"""Nobody can stall the others: turns among clients, shares of what there is, and lanes by what files weigh."""

import asyncio
import http.client
import io
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field

import psutil
import pytest
from asking import FORM, PNG, Server, command_line, form, part, picture
from hostile import BUSY, DEADLY, LONG
from PIL import Image, features
from test_decoders import HEAVY, decoders_here, decoding

from pyrite.bundle import Bundle
from pyrite.detector import Prepared
from pyrite.image import Header
from pyrite.serving.decoders import LIGHT, weigh
from pyrite.serving.fair import Asker, FairQueue, Turns
from pyrite.serving.holdings import Held
from pyrite.serving.refusal import Refusal
from pyrite.serving.service import Places
from waiting import eventually, finish_all


@dataclass(eq=False)
class Item:
    asker: Asker
    name: str
    weight: float = 1.0
    gone: bool = field(default=False)


def pop_all(queue: FairQueue[Item]) -> str:
    found = ""
    while item := queue.pop():
        found += item.name
    return found


def test_clients_take_turns_and_so_do_the_requests_of_each() -> None:
    queue: FairQueue[Item] = FairQueue()
    greedy, second, modest = Asker("greedy"), Asker("greedy"), Asker("modest")
    for asker, names in ((greedy, "aaaaaa"), (second, "bb"), (modest, "mm")):
        for name in names:
            queue.put(Item(asker, name))
    assert pop_all(queue) == "amb" + "mab" + "aaaa"


def test_who_uses_more_at_a_time_comes_less_often() -> None:
    queue: FairQueue[Item] = FairQueue()
    for name, weight in (("H", 4.0), ("l", 1.0)):
        for _ in range(8):
            queue.put(Item(Asker(name), name, weight))
    assert pop_all(queue)[:10] == "HllllHllll"


def test_who_comes_anew_is_next_and_has_saved_nothing_up() -> None:
    queue: FairQueue[Item] = FairQueue()
    old = Asker("old")
    for _ in range(100):
        queue.put(Item(old, "o"))
    for _ in range(50):
        assert queue.pop()
    for _ in range(10):
        queue.put(Item(Asker("new"), "n"))
    assert pop_all(queue)[:8] in ("onononon", "nononono")


def test_what_nobody_waits_for_any_more_takes_no_turn() -> None:
    queue: FairQueue[Item] = FairQueue()
    for name in "abc":
        queue.put(Item(Asker("one"), name, gone=name != "c"))
    assert pop_all(queue) == "c"
    assert queue.pop() is None


def test_one_client_has_a_share_of_what_can_be_at_work() -> None:
    async def work() -> list[str]:
        turns, order = Turns(4, most=3), list[str]()
        ends = asyncio.Event()

        async def have(client: str) -> None:
            async with turns.take(Asker(client)):
                order.append(client)
                await ends.wait()

        greedy = [asyncio.create_task(have("greedy")) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        begun = Counter(order)
        modest = asyncio.create_task(have("modest"))
        while "modest" not in order:
            await asyncio.sleep(0)
        ends.set()
        await finish_all([*greedy, modest])
        return [f"{begun['greedy']}", *order]

    assert asyncio.run(work())[:5] == ["3", "greedy", "greedy", "greedy", "modest"]


def test_a_turn_whose_asker_goes_is_given_on() -> None:
    async def work() -> None:
        turns = Turns(1)
        ends = asyncio.Event()

        async def have() -> None:
            async with turns.take(Asker("one")):
                await ends.wait()

        tasks = [asyncio.create_task(have()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # At work, or about to be.
        tasks[1].cancel()  # It waits.
        ends.set()
        await finish_all(tasks[2:])
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turns.take(Asker("another")):
            pass

    asyncio.run(work())


def test_one_client_gets_three_quarters_of_the_places_and_leaves_the_rest_to_others() -> None:
    taken = Held()
    places = Places(400, "queue_full", "images", taken)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.take("greedy", 100))
        with pytest.raises(Refusal, match="no room for more images of yours"):
            places.check("greedy")
        held.enter_context(places.take("modest", 100))
        with pytest.raises(Refusal, match="no room for more images now"):
            places.check("another")
    assert taken.all == 0
    assert not places.full("greedy")


def test_several_greedy_clients_leave_room_too() -> None:
    taken = Held()
    places = Places(400, "queue_full", "images", taken)
    with ExitStack() as held:
        for _ in range(400):
            for client in ("a", "b", "c"):
                with suppress(Refusal):
                    held.enter_context(places.take(client))
        assert 30 <= 400 - taken.all <= 50
        held.enter_context(places.take("modest", 30))


@pytest.mark.parametrize(
    ("header", "size", "light"),
    [
        (Header("JPEG", 32, 32), 700, True),
        (Header("JPEG", 1024, 768), 200_000, True),
        (Header("JPEG", 1024, 768, passes=200), 20_000, False),
        (Header("JPEG", 4000, 3000), 18_000, False),
        (Header("PNG", 1000, 1000), 100_000, True),
        (Header("PNG", 4000, 3000), 18_000, False),
        (Header("WEBP", 512, 512), 30_000, True),
        (Header("AVIF", 32, 32), 400, False),
        (Header("HEIF", 32, 32), 400, False),
        (None, 100, False),
    ],
)
def test_files_are_light_by_their_pixels_and_format(header: Header | None, size: int, light: bool) -> None:
    assert (weigh(header, size) <= LIGHT) == light


def test_files_that_look_light_and_are_not_cost_others_two_processes_at_most(bundle: Bundle) -> None:
    lost: list[int] = []

    async def work() -> tuple[bool, bool]:
        async with decoding(bundle, killed=lambda: lost.append(1)) as ask:
            bad = [ask(picture(BUSY), "bad") for _ in range(30)]
            good = [ask(picture(), f"good {i}") for i in range(10)]
            found = await finish_all(good)
            # From now on its files go to the slow lane at once.
            more = [ask(picture(BUSY), "bad") for _ in range(30)]
            found += await finish_all(ask(picture()) for _ in range(10))
            held_up = not any(one.done() for one in (*bad, *more))
            for one in (*bad, *more):
                one.cancel()
            return all(isinstance(one, Prepared) for one in found), held_up

    assert asyncio.run(work()) == (True, True)
    assert 1 <= len(lost) <= 2


def test_a_client_with_many_heavy_files_holds_up_nobody_with_one(bundle: Bundle) -> None:
    async def work() -> list[str]:
        order = []
        async with decoding(bundle) as ask:
            many = [ask(picture(LONG) + bytes(HEAVY), "greedy") for _ in range(4)]
            await asyncio.sleep(0.3)
            few = ask(picture() + bytes(HEAVY), "modest")
            for name, jobs in (("many", many), ("few", [few])):
                for job in jobs:
                    job.add_done_callback(lambda _, name=name: order.append(name))
            await finish_all([*many, few])
        return order

    assert asyncio.run(work())[:2] == ["many", "few"]


def test_a_spare_process_is_ready_when_one_is_killed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> list[object]:
        async with decoding(bundle) as ask:
            await finish_all([ask(picture()), ask(picture() + bytes(HEAVY))])
            assert await asyncio.to_thread(eventually, lambda: len(decoders_here()) == 4)
            # Both spares have begun too; none is begun from now on.
            monkeypatch.setattr("pebble.pool.process.WorkerManager.create_workers", lambda self: None)
            bad = ask(picture(DEADLY) + bytes(HEAVY))
            return await finish_all([bad, ask(picture() + bytes(HEAVY)), ask(picture())])

    assert [isinstance(one, Prepared) for one in asyncio.run(work())] == [False, True, True]


@pytest.mark.skipif(psutil.WINDOWS, reason="no niceness there")
def test_the_slow_lane_stands_back(bundle: Bundle) -> None:
    async def work() -> Counter[int]:
        own = psutil.Process().nice()
        async with decoding(bundle) as ask:
            await finish_all([ask(picture() + bytes(HEAVY))])

            def found() -> Counter[int]:
                return Counter(psutil.Process(one.pid).nice() - own for one in decoders_here())

            assert await asyncio.to_thread(eventually, lambda: found()[5] == 2)

            def sessions() -> int:
                return sum(os.getsid(one.pid or 0) == one.pid for one in decoders_here())

            # Else Linux would share CPUs out between this and other sessions, and niceness would count within it alone.
            assert not psutil.LINUX or await asyncio.to_thread(eventually, lambda: sessions() == 2)
            return found()

    assert asyncio.run(work()) == {0: 2, 5: 2}


def avif(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), "grey").save(stream, "AVIF", speed=10)
    return stream.getvalue()


def ask_as(server: Server, address: str, body: bytes, headers: dict[str, str]) -> tuple[int, float]:
    """Ask from one of the addresses of this machine, and return the status and how many seconds it took."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300, source_address=(address, 0))
    with closing(connection):
        connection.request("POST", "/v1/detect", body, headers)
        status = connection.getresponse().status
    return status, time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.skipif(not psutil.LINUX, reason="only Linux has all of 127.0.0.0/8")
@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_attack_by_a_client_does_not_stall_the_others(saved: str) -> None:
    attack = form(*[part(avif(7000), kind="image/avif")] * 12)
    assert len(attack) < 40_000
    ended = threading.Event()

    def repeat(statuses: list[int]) -> None:
        while not ended.is_set():
            with suppress(OSError, http.client.HTTPException):
                statuses.append(ask_as(server, "127.0.0.2", attack, FORM)[0])

    def others(number: int) -> list[tuple[int, float]]:
        return [ask_as(server, "127.0.0.3", picture(), PNG) for _ in range(number)]

    with command_line(saved, "--set", "request_seconds=20", "--set", "decoders=1") as (server, process):
        quiet = others(100)
        answered: list[int] = []
        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(repeat, answered)
            assert eventually(lambda: server.metric("pyrite_queue_images") >= 12)
            attacked = others(100)
            heavy, _ = ask_as(server, "127.0.0.4", picture() + bytes(HEAVY), PNG)
            rejected = server.metric('pyrite_rejections_total{code="queue_full"}')
            ended.set()
            process.kill()
    assert {status for status, _ in (*quiet, *attacked)} == {200}
    assert heavy == 200
    # All places would take the attack more than 33 requests at a time.
    assert rejected == 0
    # A second is what other work on this machine may take; it was 32 seconds before there were lanes.
    assert percentile(attacked) <= 10 * percentile(quiet) + 1.0


def percentile(seen: list[tuple[int, float]]) -> float:
    """Return the 99th of the seconds."""
    return sorted(seconds for _, seconds in seen)[int(0.99 * len(seen)) - 1]
