"""InvokeAI: its settings as it writes them now, and in the three ways that it had before."""

import re
from collections.abc import Mapping
from typing import Any

from pyrite.evidence.prompts.values import Made, asked
from pyrite.evidence.values import read_object
from pyrite.results import Verdict

PROGRAM = "InvokeAI"

GENERATES = re.compile(r"(?:\w+_)?(?:denoise|denoise_latents|t2l|l2l|txt2img|img2img|inpaint|text_to_image)(?:_\w+)?")
"""By its type, a node that makes an image out of noise or words."""
MODE = re.compile(r"(?:\w+_)?(?:txt2img|img2img|inpaint|outpaint)")
_MAX_NODES = 10_000
# One letter and its value, with a space between or without.
OPTION = re.compile(r"(?:^|(?<=\s))-([A-Za-z])\s?([^\s-]\S{0,40})")
# What was to be kept away from, before there was a second prompt.
BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def read_metadata(value: Any) -> Made | None:
    """Read `invokeai_metadata`: one object with prompts, seed and model."""
    if not isinstance(value, dict):
        return None
    mode = value.get("generation_mode")
    generated = isinstance(mode, str) and MODE.fullmatch(mode[:100]) and "app_version" in value
    if not generated and not {"positive_prompt", "seed"} <= value.keys():
        return None
    model = value.get("model")
    if isinstance(model, dict):
        model = model.get("model_name", model.get("name"))
    return Made(PROGRAM, asked(model, value.get("positive_prompt"), value.get("negative_prompt"), value.get("seed")))


def read_graph(value: Any) -> Made | None:
    """Read `invokeai_graph` or `invokeai_workflow`: nodes, of which some may make an image."""
    nodes = value.get("nodes") if isinstance(value, dict) else None
    if isinstance(nodes, dict):
        nodes = list(nodes.values())
    if not isinstance(nodes, list) or "edges" not in value:
        return None
    listed = [node for node in nodes[:_MAX_NODES] if isinstance(node, dict)]
    inner = [read_object(node.get("data", {})) or node for node in listed]
    kinds = [kind for node in inner if isinstance(kind := node.get("type"), str)]
    if not kinds:
        return None
    generates = any(GENERATES.fullmatch(kind[:100]) for kind in kinds)
    found = {key: next((node[key] for node in inner if node.get(key)), None) for key in ("seed", "model", "prompt")}
    model = read_object(found["model"]).get("name", found["model"])
    return Made(PROGRAM, asked(model, found["prompt"], None, found["seed"]), Verdict.AI if generates else None)


def read_old(value: Any) -> Made | None:
    """Read `sd-metadata`, of version 2."""
    image = value.get("image") if isinstance(value, dict) else None
    if not isinstance(image, dict) or not {"prompt", "seed"} <= image.keys():
        return None
    prompt = image["prompt"]
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], dict):
        prompt = prompt[0].get("prompt")
    return Made(PROGRAM, asked(value.get("model_weights"), *_split_brackets(prompt), image["seed"]))


def read_dream(text: str) -> Made | None:
    """Read `Dream`, of version 1, in the form of a command line: a prompt in quotes, and options of one letter."""
    prompt, found, options = text.rpartition('" -')
    chosen: Mapping[str, str] = dict(OPTION.findall(f"-{options}"))
    if not found or not prompt.startswith('"') or not {"s", "S"} <= chosen.keys():
        return None
    return Made(PROGRAM, asked(None, *_split_brackets(prompt[1:]), chosen["S"]))


def _split_brackets(prompt: object) -> tuple[object, str | None]:
    """Return a prompt without what it has in brackets, and that."""
    if not isinstance(prompt, str):
        return prompt, None
    return BRACKETS.sub(" ", prompt), " ".join(BRACKETS.findall(prompt))
