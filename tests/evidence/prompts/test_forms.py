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
        png(Dream=f'"{prompt}" -s50 -S5 -W512 -H768'),
        png(sd_x_metadata=json.dumps({"model_weights": "duck", "image": image})),
        png(sd_x_metadata=json.dumps({"model_weights": "duck", "image": {**image, "prompt": prompt}})),
    ):
        found = only(data)
        assert (found.data["prompt"], found.data.get("negative_prompt")) == parts
        assert (found.data["generator"], found.data["seed"]) == ("InvokeAI", 5)


ARTBOT = "ArtBot - Create images with Stable Diffusion, utilizing the AI Horde"


@pytest.mark.parametrize(
    "written",
    [
        *(SETTINGS.replace("\n", end) for end in (" ", ".", ", ", "\r\n", "\r", "\\n")),
        "a duck, by a lake\nNegative prompt: blurry\nSteps: 20, CFG scale: 7, Seed: 4183556137, Model: duck_v2",
        "a duck, by a lake\nNegative prompt: blurry\nSteps: 20, Size: 512x512, Seed: 4183556137, Model: duck_v2",
        "a duck, by a lake\nNegative prompt: blurry\nSteps: 20, Sampler: , Seed: 4183556137, Model: duck_v2",
        "a duck, by a lake\nNegative prompt: blurry\nSteps: 20, Seed: 4183556137, Model: duck_v2\nTemplate: x",
        json.dumps(SETTINGS),
        json.dumps({"parameters": SETTINGS}),
        "parameters: " + SETTINGS,
    ],
)
def test_automatic1111_however_it_is_laid_out(written: str) -> None:
    for data in (png(parameters=written), jpeg({}, comment(written))):
        found = only(data)
        assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, "AUTOMATIC1111", 4183556137)
        assert found.data["prompt"].strip(" .,") == "a duck, by a lake"
        assert found.data["negative_prompt"].strip(" .,") == "blurry"


def test_automatic1111_without_a_seed_or_a_negative_prompt() -> None:
    found = only(png(parameters="a duck\nSteps: 20, Sampler: Euler, CFG scale: 7, Size: 512x512, Model: duck"))
    assert found.data == {
        "generator": "AUTOMATIC1111", "place": "PNG text", "prompt": "a duck", "model": "duck", "extent": "whole",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "program"),
    [
        (jpeg({Base.Software: ARTBOT}, comment(SETTINGS)), "ArtBot"),
        (jpeg({Base.Software: "Krita AI Diffusion"}, comment(SETTINGS)), "Krita AI Diffusion"),
        (jpeg({Base.Software: "SD.Next"}, comment(SETTINGS)), "SD.Next"),
        (png(parameters=SETTINGS, fooocus_scheme="a1111"), "Fooocus"),
        (png(Comment=SETTINGS, parameters="None", Software="Fooocus v2.1.862"), "Fooocus"),
        (png(parameters=SETTINGS + ', Civitai resources: [{"type":"checkpoint"}]'), "Civitai"),
        (png(parameters=SETTINGS + ", App: SD.Next"), "SD.Next"),
        (png(parameters="unknown\nSteps: 20, Sampler: , Seed: 0, Size: 1x1, Version: ComfyUI"), "ComfyUI"),
    ],
    ids=range(8),
)  # fmt: skip
def test_who_wrote_automatic1111s_form(data: bytes, program: str) -> None:
    found = only(data)
    assert (found.says, found.data["generator"]) == (Verdict.AI, program)


@pytest.mark.parametrize(
    "written",
    [
        "Boil the soup. Steps: 3, then serve.",
        "Steps: up the hill. Seed: of doubt",
        "Stairs\nSteps: 20, Size: large, Seed: sunflower",
        "Steps: 12000, Calories: 340, Distance: 9",
        "Steps: 20",
        "No steps: here",
        "Negative prompt: none",
    ],
)
def test_other_steps_are_no_settings(written: str) -> None:
    for data in (png(parameters=written), jpeg({}, comment(written)), jpeg({Base.ImageDescription: written})):
        assert read_evidence(open_image(data)) == []


def wrapped(settings: object) -> list[bytes]:
    """Return files with settings as JSON, in several places."""
    text = json.dumps(settings)
    return [
        png(Comment=text),
        png(parameters=text),
        jpeg({}, comment(text)),
        jpeg({Base.ImageDescription: text}),
        encode("WEBP", exif=exif({}, comment(text)).tobytes()),
        encode("GIF", comment=text.encode()),
    ]


NOVELAI = {"prompt": "a duck", "uc": "blurry", "sampler": "k_euler", "seed": 5, "steps": 28, "signed_hash": "x"}
GRAPH = {"nodes": {"a": {"type": "denoise_latents", "id": "a"}, "b": {"type": "noise", "seed": 5}}, "edges": []}


@pytest.mark.parametrize(
    ("settings", "program", "seed"),
    [
        ({"mflux_version": "0.10.0", "model": "dev", "seed": 5, "prompt": "a duck"}, "mflux", 5),
        ({"c": "a duck", "uc": "", "model": "duck.ckpt", "seed": 5, "sampler": "Euler"}, "Draw Things", 5),
        ({"prompt": "a duck", "samplerName": "Euler", "cfgScale": 7, "seed": "5", "models": []}, "Tensor.Art", 5),
        ({"prompt": "a duck", "baseModel": {"label": "m"}, "seed": "5"}, "Tensor.Art", 5),
        (NOVELAI, "NovelAI", 5),
        ({"Software": "x", "Comment": json.dumps(NOVELAI)}, "NovelAI", 5),
        ({"prompt": "a duck", "seed": 5, "guidance_scale": 7, "use_stable_diffusion_model": "m"}, "Easy Diffusion", 5),
        ({"sui_image_params": {"prompt": "a duck", "model": "m", "seed": 5}}, "SwarmUI", 5),
        ({"prompt": "a duck", "seed": 5, "software": "Fooocus 2.0.78.5 MRE"}, "Fooocus MRE", 5),
        ({"Prompt": "a duck", "seed": 5, "software": "RuinedFooocus"}, "RuinedFooocus", 5),
        ({"base_model": "m", "sampler": "s", "prompt": "a duck", "seed": 5}, "Fooocus", 5),
        ({"positive_prompt": "a duck", "seed": 5}, "InvokeAI", 5),
        ({"app_version": "5.0", "generation_mode": "flux_txt2img", "seed": 5}, "InvokeAI", 5),
        ({"invokeai_metadata": json.dumps({"positive_prompt": "a duck", "seed": 5})}, "InvokeAI", 5),
        (GRAPH, "InvokeAI", 5),
        ({"nodes": [{"id": "a", "data": {"type": "flux_denoise", "seed": 5}}], "edges": []}, "InvokeAI", 5),
    ],
    ids=range(16),
)  # fmt: skip
def test_settings_as_json_in_any_field(settings: dict[str, Any], program: str, seed: int) -> None:
    for data in wrapped(settings):
        found = only(data)
        assert (found.says, found.data["generator"], found.data["seed"]) == (Verdict.AI, program, seed)
        assert found.data.get("prompt", "a duck") == "a duck"


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt": "say cheese"}, {"prompt": "a", "seed": 1}, {"nodes": [], "edges": []}, {"c": 1, "model": "T"},
        {"software": "Fooocus"}, {"nodes": {"a": {"type": "img_scale"}}, "links": []}, {"seed": 3, "steps": 20},
        {"model": "Canon", "sampler": "choir"}, {"app_version": "5.0", "generation_mode": "none"}, [1, 2], "text", 3,
    ],
)  # fmt: skip
def test_other_json_says_nothing(settings: object) -> None:
    for data in wrapped(settings):
        assert [item for item in read_evidence(open_image(data)) if item.says is Verdict.AI] == []


def test_invokeai_that_only_enlarged_says_nothing() -> None:
    found = only(png(invokeai_graph=json.dumps({"nodes": {"a": {"type": "esrgan"}}, "edges": []})))
    assert (found.says, found.data["generator"]) == (None, "InvokeAI")


def test_easy_diffusion_with_a_text_for_each_setting() -> None:
    for texts in (
        {"prompt": "a duck", "seed": "5", "num_inference_steps": "25", "use_stable_diffusion_model": "sd-v1-4"},
        {"Prompt": "a duck", "Seed": "5", "Guidance__Scale": "7", "Stable__Diffusion__model": "sd-v1-4"},
    ):
        found = only(png(**texts))
        assert (found.data["generator"], found.data["seed"], found.data["model"]) == ("Easy Diffusion", 5, "sd-v1-4")


def test_sygil_with_a_prefix_before_each_setting() -> None:
    found = only(png(**{"SD:prompt": "a duck", "SD:seed": "5", "SD:steps": "50"}))
    assert (found.data["generator"], found.data["prompt"], found.data["seed"]) == (
        "Stable Diffusion (sygil)",
        "a duck",
        5,
    )


JOB = "0b6d1a4e-11f2-4a3b-8c5d-6e7f8091a2b3"


@pytest.mark.parametrize("prompt", ["a duck ", "a duck --ar 3:2 --v 7 ", ""])
def test_midjourney_with_and_without_options(prompt: str) -> None:
    written = f"{prompt}Job ID: {JOB}"
    for data in (
        png(Description=written, Author="someone"),
        jpeg({Base.ImageDescription: written}),
        encode("JPEG", comment=written.encode()),
    ):
        found = only(data)
        assert (found.data["generator"], found.data["job"]) == ("Midjourney", JOB)
        assert found.data.get("prompt", "") == prompt.strip()


def test_groks_signature_in_any_field() -> None:
    signature = "Signature: " + "ab12" * 40
    for data in (
        jpeg({}, comment(signature)),
        jpeg({Base.ImageDescription: signature, Base.Artist: JOB}),
        png(Description=signature),
        png(Signature=signature.removeprefix("Signature: "), Author=JOB),
        encode("JPEG", comment=signature.encode()),
    ):
        assert only(data).data["generator"] == "Grok"
    for data in (png(Signature="ab12" * 40), png(Description="Signature: J. Duck"), png(Comment="ab12" * 40)):
        assert read_evidence(open_image(data)) == []
