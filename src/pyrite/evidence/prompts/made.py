"""Every form, tried on every text of a file that may be in it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyrite.evidence.metadata import Field, Metadata
from pyrite.evidence.names import SOFTWARE_FIELDS, find_name, key_of
from pyrite.evidence.prompts import a1111, invokeai, json_forms, services
from pyrite.evidence.prompts.comfyui import PROGRAM, read_comfyui
from pyrite.evidence.prompts.values import Made, asked
from pyrite.evidence.values import read_json

Read = Callable[[str, str, Any, Mapping[str, str]], Made | None]
"""From a text's name, the text, its value where it is JSON, and all texts of the place by name."""

NESTED = (
    "parameters", "prompt", "workflow", "invokeai_metadata", "invokeai_graph", "invokeai_workflow", "sd-metadata",
    "generation_data", "extraMetadata", "Comment", "UserComment", "usercomment", "metadata",
)  # fmt: skip
"""Keywords whose texts some programs put together into one object, or write before the text with a colon."""
PREFIX = re.compile(r"(parameters|prompt|workflow|generation_data|invokeai_metadata)\s*:\s*(?=\S)", re.IGNORECASE)
_MAX_TEXTS = 200


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write how an image was made."""

    programs: str
    """Who writes it."""
    told_by: str
    """By what it is told from others."""
    read: Read


FORMS: tuple[Form, ...] = (
    Form(
        "Fooocus, RuinedFooocus, Fooocus MRE", "JSON with `base_model`, `sampler`, `prompt`, `seed`, or `software`",
        lambda name, text, value, texts: json_forms.read_fooocus(value),
    ),
    Form("SwarmUI", "JSON with `sui_image_params`", lambda name, text, value, texts: json_forms.read_swarmui(value)),
    Form("mflux", "JSON with `mflux_version`", lambda name, text, value, texts: json_forms.read_mflux(value)),
    Form(
        "Draw Things", "JSON with `c`, `model` and `seed`",
        lambda name, text, value, texts: json_forms.read_draw_things(value),
    ),
    Form(
        "Tensor.Art", "JSON with `samplerName` and `cfgScale`, or `baseModel`, as in `generation_data`",
        lambda name, text, value, texts: json_forms.read_tensor_art(value),
    ),
    Form(
        "NovelAI", "JSON with `uc`, `sampler` and a key of its own, or `Software: NovelAI` with a `Comment`",
        lambda name, text, value, texts: json_forms.read_novelai(value),
    ),
    Form(
        "Easy Diffusion", "JSON, or one text for each setting, with `use_stable_diffusion_model`",
        lambda name, text, value, texts: json_forms.read_easy_diffusion(value),
    ),
    Form(
        "InvokeAI", "`invokeai_metadata`: JSON with `positive_prompt` and `seed`, or a `generation_mode`",
        lambda name, text, value, texts: invokeai.read_metadata(value),
    ),
    Form(
        "InvokeAI", "`invokeai_graph`, `invokeai_workflow`: JSON with `nodes` and `edges`",
        lambda name, text, value, texts: invokeai.read_graph(value),
    ),
    Form("InvokeAI", "`sd-metadata`: JSON with `image`", lambda name, text, value, texts: invokeai.read_old(value)),
    Form(
        "InvokeAI", "`Dream`: a prompt in quotes, with `-s` and `-S`",
        lambda name, text, value, texts: invokeai.read_dream(text) if name == "Dream" else None,
    ),
    Form(
        "ComfyUI", "a graph of nodes with `class_type` and `inputs`, or the editor's `nodes` and `links`",
        lambda name, text, value, texts: read_comfyui(value, value),
    ),
    Form(
        "AUTOMATIC1111, Forge, SD.Next, Krita AI Diffusion, ArtBot, Civitai, ComfyUI's image savers and others",
        "a line with `Steps:` and at least two other settings; who wrote it, by `App`, `Version` or `Software`",
        lambda name, text, value, texts: None if isinstance(value, dict) else a1111.read_a1111(text),
    ),
    Form("Midjourney", "`Job ID:` and a UUID", lambda name, text, value, texts: services.read_midjourney(text)),
    Form("Grok", "`Signature:` and its base64", lambda name, text, value, texts: services.read_grok(name, text, texts)),
    Form(
        "FLUX's reference code", "`AI generated;txt2img;flux…`",
        lambda name, text, value, texts: services.read_flux(name, text, texts),
    ),
)  # fmt: skip
"""In the order in which they are tried on a text; the first that fits is taken."""

GROUPS: Mapping[str, str] = {
    "ComfyUI": "`prompt` and `workflow` beside each other",
    "Easy Diffusion": "one text for each setting",
    "NovelAI": "`Software: NovelAI`, with `Source`, `Description` and `Comment`",
    "Stable Diffusion (sygil)": "texts whose names begin with `SD:`",
}
"""What is told by several texts of one place together."""


def find_programs(metadata: Metadata) -> Iterator[tuple[str, Made]]:
    """Yield place and program, for each text that one of the forms fits."""
    texts: dict[str, dict[str, str]] = {}
    for item in metadata.fields[:_MAX_TEXTS]:
        texts.setdefault(item.place, {}).setdefault(item.name, item.text)
    writer = _find_writer(metadata)
    graphs: set[str] = set()
    for place, named in texts.items():
        for made in _read_groups(named, metadata.size):
            graphs |= {place} if made.program == PROGRAM else set()
            yield place, made
    for item in metadata.fields[:_MAX_TEXTS]:
        if item.place in graphs and item.name.lower() in ("prompt", "workflow"):
            continue  # They were read together, and may be large.
        for name, text, value in _unwrap(item):
            readings = (form.read(name, text, value, texts[item.place]) for form in FORMS)
            found = next((reading for reading in readings if reading is not None), None)
            if found is not None:
                unnamed = found.program == a1111.DEFAULT and writer is not None
                yield item.place, replace(found, program=writer or "") if unnamed else found


def _find_writer(metadata: Metadata) -> str | None:
    """Return which program that writes in AUTOMATIC1111's form is named beside it."""
    for item in metadata.fields:
        if item.name == "fooocus_scheme":
            return "Fooocus"
        if key_of(item.name) in SOFTWARE_FIELDS and (found := find_name(item.text)) and found.writes_a1111:
            return found.name
    return None


def _unwrap(item: Field) -> Iterator[tuple[str, str, Any]]:
    """Yield name, text and value of a text, and of those that are written within it."""
    name, text = item.name, item.text
    # ComfyUI has no field of its own outside of PNG, and writes the name before the text.
    if prefix := PREFIX.match(text):
        name, text = prefix[1].lower(), text[prefix.end() :]
    value = read_json(text)
    if isinstance(value, str):
        text, value = value, read_json(value)
    yield name, text, value
    if isinstance(value, dict):
        for key in NESTED:
            inner = value.get(key)
            if isinstance(inner, str):
                yield key, inner, read_json(inner)
            elif isinstance(inner, dict):
                yield key, "", inner


def _read_groups(texts: Mapping[str, str], size: tuple[int, int]) -> Iterator[Made]:
    if texts.get("Software") == "NovelAI":
        comment = read_json(texts.get("Comment", ""))
        known = comment if isinstance(comment, dict) else {}
        yield Made("NovelAI", asked(texts.get("Source"), texts.get("Description"), known.get("uc"), known.get("seed")))
    # Outside of PNG the names stand before the texts, in fields that belong to the camera.
    graphs = {key.lower(): text for key, text in texts.items() if key.lower() in ("prompt", "workflow")}
    for text in texts.values():
        if (prefix := PREFIX.match(text)) and prefix[1].lower() in ("prompt", "workflow"):
            graphs.setdefault(prefix[1].lower(), text[prefix.end() :])
    if graphs:
        made = read_comfyui(read_json(graphs.get("prompt", "")), read_json(graphs.get("workflow", "")), size)
        if made is not None:
            yield made
    if (made := json_forms.read_easy_diffusion(texts)) is not None:
        yield made
    sygil = {key.removeprefix("SD:").lower(): text for key, text in texts.items() if key.startswith("SD:")}
    if {"prompt", "seed"} <= sygil.keys():
        told = asked(
            sygil.get("model", sygil.get("model_name")), sygil["prompt"], sygil.get("negprompt"), sygil["seed"]
        )
        yield Made("Stable Diffusion (sygil)", told)
