"""Answers that come in lines of JSON while a work goes on: how far it is, and in the end what came of it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from pyrite.serving.record import Record
from pyrite.serving.refusal import Refusal, error_content

if TYPE_CHECKING:
    from starlette.types import Send

LINES = "application/x-ndjson"
"""The media type: see https://github.com/ndjson/ndjson-spec."""
Work = Callable[[Callable[[int, int], None]], Coroutine[Any, Any, object]]
"""Takes what to call with how much is done and how much there is to do, and gives what came of it, for JSON."""


async def send_lines(work: Work, send: "Send", record: Record, note: Callable[[str, Record], None]) -> None:
    """Answer with a line for each step of a work, and a last one with its `result` or an `error`.

    What fails before the first step is answered as anywhere else: nothing has been sent by then.

    Args:
        work: What is done. It is given up where this is cancelled.
        send: Of the request.
        record: Of it.
        note: Called with the code of an error.

    Raises:
        Refusal: The work is refused before its first step.
    """
    steps: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(lambda done, total: steps.put_nowait((done, total))))
    task.add_done_callback(lambda _: steps.put_nowait(None))
    started = False

    async def line(content: object, *, more: bool = True) -> None:
        nonlocal started
        if not started:
            started = True
            head = [(b"content-type", LINES.encode()), (b"x-accel-buffering", b"no")]  # nginx would keep lines back.
            await send({"type": "http.response.start", "status": 200, "headers": head})
        body = msgspec.json.encode(content) + b"\n"
        await send({"type": "http.response.body", "body": body, "more_body": more})

    try:
        while step := await steps.get():
            await line({"progress": {"done": step[0], "total": step[1]}})
        try:
            found = task.result()
        except Refusal as refusal:
            if not started:
                raise
            note(refusal.code, record)
            error = error_content(refusal.code, refusal.message, record.request_id)
            await line(error, more=False)
            return
        await line({"result": found}, more=False)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
