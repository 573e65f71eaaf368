"""What services write beside or instead of a program's name."""

import re
from collections.abc import Mapping

from pyrite.evidence.prompts.values import Made, asked

UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
JOB = re.compile(rf"Job ID: ({UUID})")
GROK = re.compile(r"(?:Signature: ?)?([A-Za-z0-9+/]{64,4096}={0,2})")
# What the reference code of Black Forest Labs writes, and its relatives.
FLUX = re.compile(r"AI generated;[\w ,-]{1,40};([Ff]lux[\w.-]*)(?:;[\w.-]+)*")


def read_midjourney(text: str) -> Made | None:
    """Read a prompt, with or without options, and the job that it was."""
    prompt, found, job = text.rpartition("Job ID: ")
    matched = JOB.fullmatch(found + job.strip()[:50])
    return Made("Midjourney", {**asked(None, prompt), "job": matched[1]}) if matched else None


def read_grok(name: str, text: str, texts: Mapping[str, str]) -> Made | None:
    """Read the signature of Grok, made with a key that is not public, so that nobody else can check it."""
    if len(text) > 5_000 or not (matched := GROK.fullmatch(text)):
        return None
    image = next((value for key in ("Artist", "Author", "ImageUniqueID", "creator")
                  if re.fullmatch(UUID, value := texts.get(key, ""))), None)  # fmt: skip
    # Without the word, it could be anything, unless that is the field's own name.
    if not text.startswith("Signature:") and not (name.lower() == "signature" and image):
        return None
    del matched
    return Made("Grok", {"image": image})


def read_flux(name: str, text: str, texts: Mapping[str, str]) -> Made | None:
    """Read the name of the program as FLUX's reference code writes it, with the model and the prompt in other tags."""
    if not (matched := FLUX.fullmatch(text[:200])):
        return None
    found = asked(texts.get("Model", matched[1]), texts.get("ImageDescription"))
    return Made("FLUX", {**found, "software": text[:200]})
