"""What was done to an image, over HTTP."""

import base64
import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from asking import FORM, PNG, Server, form, part, picture
from PIL import Image

Serve = Callable[..., AbstractContextManager[Server]]
JPEG = {"Content-Type": "image/jpeg"}


def photo(side: int = 320) -> Image.Image:
    grey = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    noise = np.random.default_rng(1).normal(0, 6, (side, side))
    smooth = np.asarray(Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)) / 2 + 64 + noise
    return Image.fromarray(np.clip(smooth, 0, 255).astype(np.uint8)).convert("RGB")


def save(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def opened(url: str) -> Image.Image:
    kind, _, data = url.partition(";base64,")
    assert kind == "data:image/png"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_history_is_there_for_images_that_nothing_judges(serve: Serve) -> None:
    with Image.open(io.BytesIO(save(photo(), 60))) as once:
        data = save(once, 90)
    with serve() as server:
        assert server.ask("POST", "/v1/explain", data, JPEG).code == "out_of_scope"
        answer = server.ask("POST", "/v1/history", data, JPEG)
        assert answer.status == 200
        found = answer.json()
        assert found["request_id"] == answer.headers["x-request-id"]
        assert [one["kind"] for one in found["maps"]] == ["error_levels", "noise", "ghosts"]
        for one in found["maps"]:
            assert one["shows"]
            assert one["limits"]
            assert opened(one["picture"]).size == (480, 480)
            assert one["scale"][0] < one["scale"][1]
            assert one["region"] == [0, 0, 320, 320]
        assert abs(found["maps"][2]["figures"]["quality"] - 60) <= 3
        assert [item["kind"] for item in found["evidence"]] == ["compression"]
        assert found["thumbnail"]["picture"] is None
        again = server.ask("POST", "/v1/history", form(part(data, "a.jpg", kind="image/jpeg")), FORM).json()
        assert again["maps"] == found["maps"]


def test_history_of_what_is_tiny_or_no_image(serve: Serve) -> None:
    with serve() as server:
        found = server.ask("POST", "/v1/history", picture(), PNG).json()
        assert all(one["picture"] is None and "No map: " in one["found"] for one in found["maps"])
        assert found["evidence"] == []
        assert server.ask("POST", "/v1/history", b"no image", PNG).code == "unsupported_format"


def test_history_keeps_the_bounds_of_the_server(serve: Serve) -> None:
    data = save(photo(), 90)
    with serve(max_pixels=320 * 320 - 1) as server:
        assert server.ask("POST", "/v1/history", data, JPEG).code == "too_many_pixels"
    with serve(request_seconds=0.001) as server:
        began = time.monotonic()
        assert server.ask("POST", "/v1/history", data, JPEG).code == "timed_out"
        assert time.monotonic() - began < 60
