"""Programs that write their settings as one JSON object, told by keys that no other has."""

import re
from typing import Any

from pyrite.evidence.prompts.values import Made, asked

FOOOCUS = re.compile(r"(Ruined)?Fooocus\b(?:.*\b(MRE)\b)?", re.IGNORECASE)
NOVELAI = ({"uc", "sampler"}, {"signed_hash"}, {"request_type"}, {"uncond_scale"}, {"noise_schedule"})


def read_fooocus(value: Any) -> Made | None:
    """Read the settings of Fooocus and its relatives RuinedFooocus and Fooocus MRE."""
    if not isinstance(value, dict):
        return None
    written = value.get("software", value.get("version"))
    named = FOOOCUS.match(written[:100]) if isinstance(written, str) else None
    low = {key.lower().replace(" ", "_"): item for key, item in list(value.items())[:200] if isinstance(key, str)}
    if not named and not {"base_model", "sampler", "prompt", "seed"} <= low.keys():
        return None
    if "prompt" not in low:
        return None
    program = "RuinedFooocus" if named and named[1] else "Fooocus MRE" if named and named[2] else "Fooocus"
    model = low.get("base_model_name", low.get("base_model"))
    return Made(program, asked(model, low["prompt"], low.get("negative_prompt", low.get("negative")), low.get("seed")))


def read_swarmui(value: Any) -> Made | None:
    """Read SwarmUI's, which stand under a key of their own."""
    told = value.get("sui_image_params") if isinstance(value, dict) else None
    if not isinstance(told, dict):
        return None
    return Made("SwarmUI", asked(told.get("model"), told.get("prompt"), told.get("negativeprompt"), told.get("seed")))


def read_mflux(value: Any) -> Made | None:
    """Read mflux's, which begin with its version."""
    if not isinstance(value, dict) or "mflux_version" not in value:
        return None
    prompts = (value.get("prompt"), value.get("negative_prompt"))
    return Made("mflux", asked(value.get("model"), *prompts, value.get("seed")))


def read_draw_things(value: Any) -> Made | None:
    """Read Draw Things', which calls its prompts `c` and `uc`."""
    if not isinstance(value, dict) or not {"c", "model", "seed"} <= value.keys():
        return None
    return Made("Draw Things", asked(value.get("model"), value.get("c"), value.get("uc"), value.get("seed")))


def read_tensor_art(value: Any) -> Made | None:
    """Read the `generation_data` of Tensor.Art."""
    if not isinstance(value, dict) or "prompt" not in value:
        return None
    model = value.get("baseModel")
    if not {"samplerName", "cfgScale"} <= value.keys() and not (isinstance(model, dict) and "seed" in value):
        return None
    models = value.get("models")
    first = models[0] if isinstance(models, list) and models and isinstance(models[0], dict) else {}
    name = model.get("label", model.get("modelFileName")) if isinstance(model, dict) else first.get("label")
    return Made("Tensor.Art", asked(name, value["prompt"], value.get("negativePrompt"), value.get("seed")))


def read_novelai(value: Any) -> Made | None:
    """Read NovelAI's comment where it stands alone: with what it has to keep away from (`uc`), and its own keys."""
    if not isinstance(value, dict) or not NOVELAI[0] <= value.keys():
        return None
    if sum(keys <= value.keys() for keys in NOVELAI[1:]) < 1:
        return None
    return Made("NovelAI", asked(None, value.get("prompt"), value["uc"], value.get("seed")))


def read_easy_diffusion(value: Any) -> Made | None:
    """Read Easy Diffusion's, in whichever of its two spellings."""
    if not isinstance(value, dict):
        return None
    low = {key.lower().replace(" ", "_"): item for key, item in list(value.items())[:200] if isinstance(key, str)}
    if "prompt" not in low or not (low.keys() & EASY_MODELS and low.keys() & EASY_STEPS):
        return None
    model = next(low[key] for key in EASY_MODELS if key in low)
    return Made("Easy Diffusion", asked(model, low["prompt"], low.get("negative_prompt"), low.get("seed")))


EASY_MODELS = {"use_stable_diffusion_model", "stable_diffusion_model"}
EASY_STEPS = {"num_inference_steps", "guidance_scale", "inference_steps"}
