"""The settings that programs for Stable Diffusion write into their files, as text or JSON under keys of their own.

Each form is told by several of its keys, and everything here takes linear time.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyrite.evidence.fields import read_json

Settings = tuple[str, dict[str, object]]
"""The program, and what it was asked for: model, prompt, negative_prompt and seed."""

_MAX_LINES = 50
"""From the end, in which Automatic1111's line of settings is looked for; plugins write some lines after it."""
# A key and its value, up to the next comma. A value with commas is in quotes, and a quote in it has a backslash.
_PAIR = re.compile(r'([^:,]*)(?::\s*("(?:[^"\\]|\\.?)*+"(?=\s*(?:,|$))|[^,]*)[^,]*)?(?:,|$)')
# What InvokeAI was to keep away from, before it had a second prompt.
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def read_settings(texts: Mapping[str, str]) -> Iterator[Settings]:
    """Yield what each program wrote into these texts, by keyword."""
    parameters = texts.get("parameters", "")
    written = read_json(parameters)
    readers = (
        _read_fooocus(written, "fooocus_scheme" in texts),
        _read_swarmui(written),
        _read_automatic1111(parameters, "fooocus_scheme" in texts),
        _read_invokeai(read_json(texts.get("invokeai_metadata", ""))),
        _read_old_invokeai(read_json(texts.get("sd-metadata", ""))),
        _read_dream(texts.get("Dream", "")),
        _read_novelai(texts),
    )
    yield from (found for found in readers if found is not None)


def _read_automatic1111(text: str, fooocus: bool) -> Settings | None:
    """Many programs write this form: a prompt, perhaps a negative prompt, and a line of settings."""
    lines = text.split("\n")
    for at in range(len(lines) - 1, max(-1, len(lines) - 1 - _MAX_LINES), -1):
        pairs = _read_pairs(lines[at])
        if {"Steps", "Sampler", "Seed"} <= pairs.keys() and pairs["Steps"].isdigit():
            break
    else:
        return None
    prompt, _, negative = "\n".join(lines[:at]).partition("Negative prompt:")
    fooocus = fooocus or pairs.get("Version", "").startswith("Fooocus ")
    program = "Fooocus" if fooocus else _unquote(pairs.get("App", "")) or "AUTOMATIC1111"
    return program, _asked(_unquote(pairs.get("Model", "")), prompt, negative, _unquote(pairs["Seed"]))


def _read_pairs(line: str) -> dict[str, str]:
    """Return the settings of a line as they are written; of a key that comes twice, the first."""
    pairs: dict[str, str] = {}
    for key, value in _PAIR.findall(line):
        pairs.setdefault(key.strip(), value.strip())
    return pairs


def _unquote(value: str) -> str:
    text = read_json(value) if value.startswith('"') else value
    return text if isinstance(text, str) else value


def _read_fooocus(settings: Any, marked: bool) -> Settings | None:
    if not isinstance(settings, dict):
        return None
    if settings.get("software") == "RuinedFooocus":
        model, prompts = settings.get("base_model_name"), (settings.get("Prompt"), settings.get("Negative"))
        return "RuinedFooocus", _asked(model, *prompts, settings.get("seed"))
    if not marked and not {"base_model", "sampler", "prompt", "seed"} <= settings.keys():
        return None
    prompts = (settings.get("prompt"), settings.get("negative_prompt"))
    return "Fooocus", _asked(settings.get("base_model"), *prompts, settings.get("seed"))


def _read_swarmui(settings: Any) -> Settings | None:
    asked = settings.get("sui_image_params") if isinstance(settings, dict) else None
    if not isinstance(asked, dict):
        return None
    return "SwarmUI", _asked(asked.get("model"), asked.get("prompt"), asked.get("negativeprompt"), asked.get("seed"))


def _read_invokeai(settings: Any) -> Settings | None:
    if not isinstance(settings, dict) or not {"positive_prompt", "seed"} <= settings.keys():
        return None
    model = settings.get("model")
    if isinstance(model, dict):
        model = model.get("model_name", model.get("name"))
    prompts = (settings["positive_prompt"], settings.get("negative_prompt"))
    return "InvokeAI", _asked(model, *prompts, settings["seed"])


def _read_old_invokeai(settings: Any) -> Settings | None:
    image = settings.get("image") if isinstance(settings, dict) else None
    if not isinstance(image, dict) or not {"prompt", "seed"} <= image.keys():
        return None
    prompt = image["prompt"]
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], dict):
        prompt = prompt[0].get("prompt")
    return "InvokeAI", _asked(settings.get("model_weights"), *_split_brackets(prompt), image["seed"])


def _read_dream(text: str) -> Settings | None:
    """Read the form of a command line: a prompt in quotes, and options of one letter."""
    prompt, found, options = text.rpartition('" -')
    words = options.split()
    chosen = dict(zip(["-" + word if i == 0 else word for i, word in enumerate(words)], words[1:], strict=False))
    if not found or not prompt.startswith('"') or not {"-s", "-S"} <= chosen.keys():
        return None
    return "InvokeAI", _asked(None, *_split_brackets(prompt[1:]), chosen["-S"])


def _split_brackets(prompt: object) -> tuple[object, str | None]:
    """Return a prompt without what it has in brackets, and that."""
    if not isinstance(prompt, str):
        return prompt, None
    return _BRACKETS.sub(" ", prompt), " ".join(_BRACKETS.findall(prompt))


def _read_novelai(texts: Mapping[str, str]) -> Settings | None:
    if texts.get("Software") != "NovelAI":
        return None
    settings = read_json(texts.get("Comment", ""))
    known = settings if isinstance(settings, dict) else {}
    return "NovelAI", _asked(texts.get("Source"), texts.get("Description"), known.get("uc"), known.get("seed"))


def _asked(model: object, prompt: object, negative: object, seed: object) -> dict[str, object]:
    number = isinstance(seed, str) and seed.isascii() and seed.isdigit() and len(seed) < 20
    return {
        "model": model if isinstance(model, str) else None,
        "prompt": prompt if isinstance(prompt, str) else None,
        "negative_prompt": negative if isinstance(negative, str) else None,
        "seed": int(str(seed)) if number else seed,
    }
