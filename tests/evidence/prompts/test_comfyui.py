"""ComfyUI's graphs of nodes, written as it writes them."""

import io
import json
from typing import Any

import pytest
from metadata_files import NODES, Base, encode, exif, only, png
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Verdict

SCALING = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "holiday.jpg"}},
    "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0]}},
}
WORKFLOW = {"nodes": [{"id": 4, "type": "KSampler"}], "links": []}


def graph(**nodes: tuple[str, dict[str, Any]]) -> bytes:
    """Return an image with a graph of name → type and inputs; an input that is a tuple comes from another node."""
    made = {
        name: {
            "class_type": kind,
            "inputs": {key: [*value] if isinstance(value, tuple) else value for key, value in inputs.items()},
        }
        for name, (kind, inputs) in nodes.items()
    }
    return png(prompt=json.dumps(made))


def text(words: str) -> tuple[str, dict[str, Any]]:
    return "CLIPTextEncode", {"text": words}


LOADER = ("CheckpointLoaderSimple", {"ckpt_name": "duck.safetensors"})
SAVE = ("SaveImage", {"images": ("decode", 0)})
DECODE = ("VAEDecode", {"samples": ("sampler", 0)})


@pytest.mark.parametrize(
    "data",
    [
        png(prompt=json.dumps(NODES), workflow=json.dumps(WORKFLOW)),
        png(prompt=json.dumps(NODES)),
        encode("WEBP", exif=exif({Base.Make: "workflow:" + json.dumps(WORKFLOW),
                                  Base.Model: "prompt:" + json.dumps(NODES)}).tobytes()),
    ],
    ids=["png", "prompt", "webp"],
)  # fmt: skip
def test_comfyui(data: bytes) -> None:
    found = only(data)
    assert found.says is Verdict.AI
    assert found.data["generator"] == "ComfyUI"
    assert {key: found.data[key] for key in ("model", "prompt", "negative_prompt", "seed")} == {
        "model": "duck.safetensors", "prompt": "a duck", "negative_prompt": "blurry", "seed": 7,
    }  # fmt: skip


def test_comfyui_with_the_editors_workflow_alone() -> None:
    assert only(png(workflow=json.dumps(WORKFLOW))).says is Verdict.AI


def test_comfyui_that_only_scaled_a_photograph_says_nothing() -> None:
    found = only(png(prompt=json.dumps(SCALING)))
    assert (found.says, found.data["generator"]) == (None, "ComfyUI")


def test_the_sampler_that_made_the_saved_image_counts_and_not_the_first_that_is_listed() -> None:
    found = only(
        graph(
            other=("KSampler", {"seed": 1, "model": ("old", 0), "positive": ("goose", 0), "negative": ("sharp", 0)}),
            old=("CheckpointLoaderSimple", {"ckpt_name": "goose.safetensors"}),
            goose=text("a goose"),
            sharp=text("sharp"),
            preview=("PreviewImage", {"images": ("other", 0)}),
            loader=LOADER,
            duck=text("a duck"),
            blurry=text("blurry"),
            sampler=(
                "KSampler",
                {"seed": 7, "model": ("loader", 0), "positive": ("duck", 0), "negative": ("blurry", 0)},
            ),
            decode=DECODE,
            save=SAVE,
        )
    )
    assert found.data == {
        "generator": "ComfyUI", "place": "PNG text", "model": "duck.safetensors", "prompt": "a duck",
        "negative_prompt": "blurry", "seed": 7, "models": ["duck.safetensors", "goose.safetensors"], "extent": "whole",
    }  # fmt: skip


def test_a_video_has_the_prompt_of_the_image_that_it_was_made_of() -> None:
    found = only(
        graph(
            video=("KSampler", {"seed": 1, "model": ("svd", 0), "positive": ("see", 0), "negative": ("see", 1)}),
            svd=("ImageOnlyCheckpointLoader", {"ckpt_name": "svd.safetensors"}),
            see=("SVD_img2vid_Conditioning", {"clip_vision": ("svd", 1), "init_image": ("decode", 0)}),
            frames=("VAEDecode", {"samples": ("video", 0)}),
            save=("SaveAnimatedWEBP", {"images": ("frames", 0)}),
            decode=DECODE,
            sampler=("KSampler", {"seed": 7, "model": ("loader", 0), "positive": ("duck", 0), "negative": ("no", 0)}),
            loader=LOADER,
            duck=text("a duck"),
            no=text("blurry"),
        )
    )
    assert (found.data["prompt"], found.data["negative_prompt"], found.data["seed"]) == ("a duck", "blurry", 7)
    assert (found.data["model"], found.data["models"]) == ("duck.safetensors", ["duck.safetensors", "svd.safetensors"])


@pytest.mark.parametrize(
    ("nodes", "prompt"),
    [
        ({"ask": ("ConditioningCombine", {"conditioning_1": ("a", 0), "conditioning_2": ("b", 0)})}, "a duck\na lake"),
        ({"ask": ("ConditioningCombine", {"conditioning_1": ("b", 0), "conditioning_2": ("a", 0)})}, "a lake\na duck"),
        (
            {"ask": ("ConditioningConcat", {"conditioning_to": ("a", 0), "conditioning_from": ("b", 0)})},
            "a duck\na lake",
        ),
        ({"ask": ("ConditioningSetArea", {"conditioning": ("a", 0)})}, "a duck"),
        ({"ask": ("ControlNetApplyAdvanced", {"positive": ("a", 0), "negative": ("b", 0)})}, "a duck"),
        ({"ask": ("CLIPTextEncodeSDXL", {"text_g": "a duck", "text_l": "a duck"})}, "a duck"),
        ({"ask": ("CLIPTextEncodeFlux", {"clip_l": "duck", "t5xxl": ("words", 0)})}, "duck\na quiet lake"),
        ({"ask": ("CLIPTextEncode", {"text": ("joined", 0)})}, "a duck\na quiet lake"),
    ],
)
def test_a_prompt_is_followed_through_what_lies_between(
    nodes: dict[str, tuple[str, dict[str, Any]]], prompt: str
) -> None:
    found = only(
        graph(
            **nodes,
            sampler=("KSampler", {"seed": 7, "positive": ("ask", 0), "negative": ("none", 0)}),
            # Nothing comes out of it, whatever goes in.
            none=("ConditioningZeroOut", {"conditioning": ("ask", 0)}),
            a=text("a duck"),
            b=text("a lake"),
            words=("PrimitiveString", {"value": "a quiet lake"}),
            joined=("StringConcatenate", {"string_a": "a duck", "string_b": ("words", 0)}),
        )
    )
    assert found.data["prompt"] == prompt
    assert "negative_prompt" not in found.data


@pytest.mark.parametrize(
    ("guider", "negative"),
    [
        (("BasicGuider", {"model": ("loader", 0), "conditioning": ("a", 0)}), None),
        (("CFGGuider", {"model": ("loader", 0), "positive": ("a", 0), "negative": ("b", 0)}), "blurry"),
    ],
)
def test_a_sampler_with_a_guider(guider: tuple[str, dict[str, Any]], negative: str | None) -> None:
    found = only(
        graph(
            noise=("RandomNoise", {"noise_seed": 7}),
            select=("KSamplerSelect", {"sampler_name": "euler"}),
            sampler=("SamplerCustomAdvanced", {"noise": ("noise", 0), "guider": ("g", 0), "sampler": ("select", 0)}),
            g=guider,
            a=text("a duck"),
            b=text("blurry"),
            loader=("LoraLoader", {"model": ("unet", 0), "lora_name": "lora.safetensors"}),
            unet=("UNETLoader", {"unet_name": "flux.safetensors"}),
            decode=DECODE,
            save=SAVE,
        )
    )
    assert found.data == {
        "generator": "ComfyUI", "place": "PNG text", "model": "flux.safetensors", "prompt": "a duck", "seed": 7,
        "extent": "whole", **({"negative_prompt": negative} if negative else {}),
    }  # fmt: skip


def test_a_later_pass_that_adds_no_noise_has_the_seed_of_the_first() -> None:
    found = only(
        graph(
            sampler=("KSamplerAdvanced", {"add_noise": "disable", "noise_seed": 0, "latent_image": ("first", 0),
                                          "positive": ("b", 0)}),
            first=("KSamplerAdvanced", {"add_noise": "enable", "noise_seed": 7, "positive": ("a", 0)}),
            a=text("a duck"),
            b=text("a fine duck"),
            decode=DECODE,
            save=SAVE,
        )
    )  # fmt: skip
    assert (found.data["prompt"], found.data["seed"]) == ("a fine duck", 7)


@pytest.mark.parametrize(
    "kind",
    [
        "OpenAIDalle3", "OpenAIGPTImage1", "OpenAIGPTImageNodeV2", "FluxProUltraImageNode", "FluxKontextMaxImageNode",
        "Flux2ProImageNode", "FluxProFillNode", "IdeogramV3", "StabilityStableImageSD_3_5Node",
        "RecraftTextToImageNode", "GeminiImageNode", "GeminiImage2Node", "LumaImageNode", "KlingImageGenerationNode",
        "ByteDanceImageNode", "ByteDanceSeedreamNode", "RunwayTextToImageNode", "WanTextToImageApi",
    ],
)  # fmt: skip
def test_nodes_of_services_generate(kind: str) -> None:
    inputs = {"prompt": "a duck", "negative_prompt": "blurry", "seed": 7, "model": "duck-1", "image": ("load", 0)}
    found = only(graph(api=(kind, inputs), load=("LoadImage", {"image": "holiday.jpg"}), save=("SaveImage", {})))
    assert found.says is Verdict.AI
    assert {key: found.data[key] for key in ("model", "prompt", "negative_prompt", "seed")} == {
        "model": "duck-1", "prompt": "a duck", "negative_prompt": "blurry", "seed": 7,
    }  # fmt: skip
    assert only(png(workflow=json.dumps({"nodes": [{"type": kind}], "links": []}))).says is Verdict.AI


def test_an_upscaler_that_paints_anew_generates() -> None:
    found = only(
        graph(
            up=("UltimateSDUpscale", {"image": ("load", 0), "model": ("loader", 0), "positive": ("a", 0), "seed": 7}),
            load=("LoadImage", {"image": "holiday.jpg"}),
            loader=LOADER,
            a=text("a duck"),
            save=("SaveImage", {"images": ("up", 0)}),
        )
    )
    assert (found.says, found.data["prompt"], found.data["seed"]) == (Verdict.AI, "a duck", 7)


@pytest.mark.parametrize(
    "kind",
    ["FluxKontextImageScale", "FluxGuidance", "OpenAIChatNode", "GeminiNode", "LumaReferenceNode", "ImageScale",
     "RecraftRemoveBackgroundNode", "ImageUpscaleWithModel", "CannyEdgePreprocessor"],
)  # fmt: skip
def test_nodes_that_only_change_or_describe_an_image_do_not_generate(kind: str) -> None:
    assert only(graph(node=(kind, {"image": ("load", 0)}), load=("LoadImage", {"image": "a.jpg"}))).says is None
    assert only(png(workflow=json.dumps({"nodes": [{"type": kind}], "links": []}))).says is None


def test_a_picture_of_the_editor_is_not_what_it_makes() -> None:
    """Extensions that save the canvas draw all nodes, with 100 pixels around them, and add the workflow alone."""
    nodes = [
        {"id": 1, "type": "KSampler", "pos": [40, 80], "size": [210, 120]},
        {"id": 2, "type": "VAEDecode", "pos": {"0": 600, "1": 400}, "size": {"0": 140, "1": 46}},
    ]
    workflow = json.dumps({"nodes": nodes, "links": []})
    # From 40 to 740 and from 80 to 446.
    for scale in (1, 2):
        drawn = save_with(workflow, (900 * scale, 566 * scale))
        [found] = read_evidence(open_image(drawn))
        assert (found.kind, found.says, found.data["generator"]) == ("generator", None, "ComfyUI")
        assert "this is a picture of the workflow in its editor" in found.detail
    [made] = read_evidence(open_image(save_with(workflow, (1024, 1024))))
    assert made.says is Verdict.AI
    [both] = read_evidence(open_image(save_with(workflow, (900, 566), prompt=json.dumps(NODES))))
    assert both.says is Verdict.AI


def save_with(workflow: str, size: tuple[int, int], **texts: str) -> bytes:
    stream, info = io.BytesIO(), PngImagePlugin.PngInfo()
    for key, value in {"workflow": workflow, **texts}.items():
        info.add_text(key, value)
    PillowImage.new("RGB", size, "teal").save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
