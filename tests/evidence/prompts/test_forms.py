"""The settings of programs for Stable Diffusion, written as they write them."""

import json
import struct
from typing import Any

import pytest
from metadata_files import SETTINGS, Base, comment, encode, exif, jpeg, only, png

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Verdict


@pytest.mark.parametrize(
    "data",
    [
        png(parameters=SETTINGS),
        jpeg({}, comment(SETTINGS)),
        jpeg({}, {Base.UserComment: b"UNICODE\0" + SETTINGS.encode("utf-16-le")}),
        jpeg({}, {Base.UserComment: b"ASCII\0\0\0" + SETTINGS.encode()}),
        encode("WEBP", exif=exif({}, comment(SETTINGS)).tobytes()),
        encode("AVIF", exif=exif({}, comment(SETTINGS)).tobytes()),
    ],
    ids=["png", "jpeg", "little-endian", "ascii", "webp", "avif"],
)
def test_automatic1111(data: bytes) -> None:
    found = only(data)
    assert (found.kind, found.says) == ("generator", Verdict.AI)
    assert found.data.pop("place") in ("PNG text", "EXIF data")
    assert found.data == {
        "generator": "AUTOMATIC1111",
        "model": "duck_v2",
        "prompt": "a duck, by a lake",
        "negative_prompt": "blurry",
        "seed": 4183556137,
        "extent": "whole",
    }


def test_text_after_the_pixels_counts() -> None:
    before = png(parameters=SETTINGS)
    start = before.index(b"tEXt") - 4
    chunk = before[start : start + 12 + struct.unpack(">I", before[start : start + 4])[0]]
    bare = before.replace(chunk, b"")
    end = bare.index(b"IEND") - 4
    assert only(bare[:end] + chunk + bare[end:]).says is Verdict.AI
    assert read_evidence(open_image(bare + chunk)) == []


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        (', ControlNet 0: "Module: canny, Model: control_v11p [d14c016b], Seed: 1, Steps: x"', {}),
        (', Model: other, Seed: 1, Note: "a \\"b\\", Model: c"', {}),
        (', Note: "never closed, Seed: 1, Model: c', {}),
        (", App: SD.Next, Version: 1a2b3c4", {"generator": "SD.Next"}),
        (', App: "SD.Next, dev"', {"generator": "SD.Next, dev"}),
        (", Version: f2.0.1v1.10.1", {"generator": "Forge"}),
        (", Version: v1.10.1-2-gabc1234", {}),
        (", Version: krita-ai 1.38", {"generator": "Krita AI Diffusion"}),
        (", Version: ComfyUI", {"generator": "ComfyUI"}),
        (", Version: Duckworks 3", {"generator": "Duckworks"}),
        (", Version: Fooocus v2.5.0", {"generator": "Fooocus"}),
    ],
)
def test_what_plugins_add_to_automatic1111_changes_nothing(more: str, changed: dict[str, str]) -> None:
    found = only(png(parameters=SETTINGS + more))
    assert found.data == {
        "generator": "AUTOMATIC1111",
        "place": "PNG text",
        "model": "duck_v2",
        "prompt": "a duck, by a lake",
        "negative_prompt": "blurry",
        "seed": 4183556137,
        "extent": "whole",
        **changed,
    }


def test_automatic1111_with_quotes_before_the_settings() -> None:
    line = (
        'ControlNet 0: "Steps: 1, Sampler: x, Seed: 9, Model: bad", Steps: 20, Sampler: Euler, Seed: 7, Model: "a, b"'
    )
    found = only(png(parameters="a duck\n" + line))
    assert (found.data["seed"], found.data["model"]) == (7, "a, b")


def test_fooocus() -> None:
    settings = {
        "base_model": "juggernaut", "base_model_hash": "aeb7", "sampler": "dpmpp", "seed": "12", "prompt": "a duck",
        "negative_prompt": "", "scheduler": "karras",
    }  # fmt: skip
    text = json.dumps(settings)
    # Fooocus itself writes its comment beside the name of the program, not among what a camera writes.
    tags = {Base.UserComment: text, Base.Software: "Fooocus v2.5.0", Base.MakerNote: "fooocus"}
    for data in (png(parameters=text, fooocus_scheme="fooocus"), jpeg(tags), encode("WEBP", exif=exif(tags).tobytes())):
        found = only(data)
        assert found.says is Verdict.AI
        assert (found.data["generator"], found.data["seed"], found.data["prompt"]) == ("Fooocus", 12, "a duck")


def test_invokeai() -> None:
    settings = {
        "positive_prompt": "a duck", "negative_prompt": "", "seed": 3, "model": {"model_name": "juggernautXL"},
        "scheduler": "euler", "steps": 30, "cfg_scale": 5, "generation_mode": "sdxl_txt2img",
    }  # fmt: skip
    found = only(png(invokeai_metadata=json.dumps(settings)))
    assert (found.says, found.data["generator"], found.data["model"]) == (Verdict.AI, "InvokeAI", "juggernautXL")


def test_novelai_is_one_finding() -> None:
    settings = json.dumps({"sampler": "k_euler", "seed": 5, "steps": 28, "uc": "blurry"})
    found = only(png(Software="NovelAI", Source="Stable Diffusion 1D44365E", Description="a duck", Comment=settings))
    assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, "NovelAI", 5)


def test_swarmui() -> None:
    settings = {"sui_image_params": {"prompt": "a duck", "model": "sdxl", "seed": 1, "negativeprompt": "blurry"}}
    found = only(png(parameters=json.dumps(settings)))
    assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, "SwarmUI", 1)


def test_fooocus_in_the_form_of_automatic1111() -> None:
    tags = {Base.UserComment: SETTINGS + ", Version: Fooocus v2.5.0", Base.Software: "Fooocus v2.5.0"}
    found = only(jpeg(tags))
    assert (found.data["generator"], found.data["model"]) == ("Fooocus", "duck_v2")


@pytest.mark.parametrize("tag", [Base.UserComment, Base.ImageDescription])
def test_a_comment_among_the_photos_tags_comes_first(tag: Base) -> None:
    found = only(jpeg({tag: SETTINGS.replace("a duck", "a goose")}, comment(SETTINGS)))
    assert found.data["prompt"] == "a duck, by a lake"


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a duck [blurry, grey]", ("a duck", "blurry, grey")),
        ("[blurry] a duck [grey]", ("a duck", "blurry grey")),
        ("a duck [", ("a duck [", None)),
        ("a duck", ("a duck", None)),
    ],
)
def test_old_invokeai_has_what_to_avoid_in_brackets(prompt: str, parts: tuple[str, str | None]) -> None:
    image: dict[str, Any] = {"prompt": [{"prompt": prompt, "weight": 1.0}], "seed": 5}
    for data in (
        png(Dream=f'"{prompt}" -s 50 -S 5 -W 512 -H 768 -C 5 -A k_lms'),
        png(sd_x_metadata=json.dumps({"model_weights": "duck", "image": image})),
        png(sd_x_metadata=json.dumps({"model_weights": "duck", "image": {**image, "prompt": prompt}})),
    ):
        found = only(data)
        assert (found.data["prompt"], found.data.get("negative_prompt")) == parts
        assert (found.data["generator"], found.data["seed"]) == ("InvokeAI", 5)
