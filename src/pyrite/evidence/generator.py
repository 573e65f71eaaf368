"""What generators write into their files: recognised by the exact field and form, never by a word in a text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrite.evidence.comfyui import read_comfyui
from pyrite.evidence.fields import plain, read_exif, read_json, read_texts, read_xmp, tidy
from pyrite.evidence.hidden import read_hidden
from pyrite.evidence.settings import read_settings
from pyrite.evidence.source_types import AI_TYPES, read_term
from pyrite.image import Image
from pyrite.results import Evidence, Strength, Verdict

_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ "
_XMP = "http://ns.adobe.com/xap/1.0/ "
_AIGC = "http://www.tc260.org.cn/ns/AIGC/1.0/ AIGC"

_SOFTWARE = re.compile(
    r"(Adobe Firefly|Aphrodite AI|ChatGPT|(?:OpenAI )?DALL[·-]E|Draw Things|DreamStudio|Fooocus|Google Imagen|"
    r"Ideogram AI|InvokeAI|Midjourney|NovelAI|OpenAI|RuinedFooocus|Stable Diffusion|reve\.com)"
    r"(?:(?: Image)? v?\d[\w.]*)?"
)
# What the reference code of Black Forest Labs writes, and its relatives.
_FLUX = re.compile(r"AI generated;(?:txt2img|img2img);(flux[\w.-]*)(?:;[\w.-]+)*")
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GOOGLE = re.compile(r"(Made|Edited) with Google AI")
_GROK = re.compile(r"Signature: [A-Za-z0-9+/]{64,}={0,2}")


@dataclass(frozen=True, slots=True)
class _Found:
    generator: str
    place: str
    """Where it was written."""
    details: Mapping[str, object] = field(default_factory=dict)
    says: Verdict | None = Verdict.AI
    did: str = "made"
    """What it did to this image, if it surely did anything."""


def read_generator(image: Image) -> list[Evidence]:
    """Report the generators that EXIF, XMP and PNG text name, and the digital source type of XMP."""
    exif, texts, xmp = read_exif(image), read_texts(image), read_xmp(image)
    strings = {name: value for name, value in exif.items() if isinstance(value, str)}
    found: dict[str, _Found] = {}
    for item in _find(strings, texts, xmp, read_hidden(image)):
        found.setdefault(item.generator, item)
    return [_to_evidence(item) for item in found.values()] + _read_source_type(xmp)


def _to_evidence(item: _Found) -> Evidence:
    data = tidy({"generator": plain(item.generator, 100), "place": item.place, **item.details})
    model = f" with the model {plain(data['model'], 100)}" if "model" in data else ""
    did = item.did if item.says is Verdict.AI else "may have made or changed"
    return Evidence(
        kind="generator",
        strength=Strength.ASSERTED,
        says=item.says,
        detail=f"The file's {item.place} says that {data['generator']} {did} this image{model}, "
        "which anyone could have written.",
        data=data,
    )


def _read_source_type(xmp: Mapping[str, str]) -> list[Evidence]:
    address = xmp.get(_IPTC + "DigitalSourceType", xmp.get(_IPTC + "DigitalsourceType"))
    if not address:
        return []
    term = plain(read_term(address), 100)
    return [
        Evidence(
            kind="source_type",
            strength=Strength.ASSERTED,
            says=Verdict.AI if term in AI_TYPES else None,
            detail=f"The file's XMP gives {term} as its digital source type, which anyone could have written.",
            data=tidy({"digital_source_type": term}),
        )
    ]


def _find(
    exif: Mapping[str, str], texts: Mapping[str, str], xmp: Mapping[str, str], hidden: Mapping[str, str]
) -> Iterator[_Found]:
    commented = {"parameters": exif.get("UserComment", "")}
    for fields, place in ((texts, "PNG text"), (commented, "EXIF data"), (hidden, "hidden text")):
        for program, asked in read_settings(fields):
            yield _Found(program, place, asked)
    yield from _find_comfyui(exif, texts)
    yield from _find_ai_properties(xmp)
    yield from _find_names(exif, texts, xmp)
    yield from _find_labels(exif, texts, xmp)


def _find_comfyui(exif: Mapping[str, str], texts: Mapping[str, str]) -> Iterator[_Found]:
    # In PNG it has text chunks of its own; elsewhere it puts them into EXIF fields that belong to the camera.
    tagged = (exif.get(name, "").partition(":") for name in ("Make", "Model", "ImageDescription", "UserComment"))
    hidden = {key.lower(): rest for key, _, rest in tagged if key.lower() in ("prompt", "workflow")}
    for fields, place in ((texts, "PNG text"), (hidden, "EXIF data")):
        workflow = read_comfyui(fields.get("prompt", ""), fields.get("workflow", ""))
        if workflow is not None:
            yield _Found("ComfyUI", place, workflow.details, Verdict.AI if workflow.generates else None)


def _find_ai_properties(xmp: Mapping[str, str]) -> Iterator[_Found]:
    """Find the properties that IPTC has for generated images alone, whatever they name (version 2025.1)."""
    system, version, prompt, writer = (
        xmp.get(_IPTC + name)
        for name in ("AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName")
    )
    if system or version or prompt or writer:
        known = _SOFTWARE.fullmatch(system or "")
        details = {"software": system, "version": version, "prompt": prompt, "prompt_writer": writer}
        yield _Found(known[1] if known else system or "an AI system that it does not name", "XMP", details)


def _find_names(exif: Mapping[str, str], texts: Mapping[str, str], xmp: Mapping[str, str]) -> Iterator[_Found]:
    """Find generators in the fields that name the program, as the whole of what they say."""
    for value, place in (
        (texts.get("Software"), "PNG text"),
        (exif.get("Software"), "EXIF data"),
        (exif.get("Make"), "EXIF data"),
        (xmp.get(_XMP + "CreatorTool"), "XMP"),
    ):
        if value and (name := _SOFTWARE.fullmatch(value)):
            settings = read_json(xmp.get("http://ns.adobe.com/exif/1.0/ UserComment", ""))
            known = settings if name[1] == "Draw Things" and isinstance(settings, dict) else {}
            details = {"model": known.get("model"), "prompt": known.get("c"), "negative_prompt": known.get("uc")}
            yield _Found(name[1], place, {"software": value, "seed": known.get("seed"), **details})
    if flux := _FLUX.fullmatch(exif.get("Software", "")):
        details = {"model": exif.get("Model", flux[1]), "prompt": exif.get("ImageDescription")}
        yield _Found("FLUX", "EXIF data", {"software": exif["Software"], **details})
    credit = _GOOGLE.fullmatch(xmp.get("http://ns.adobe.com/photoshop/1.0/ Credit", ""))
    if credit:
        yield _Found("Google AI", "XMP", {"credit": credit[0]}, did=credit[1].lower())


def _find_labels(exif: Mapping[str, str], texts: Mapping[str, str], xmp: Mapping[str, str]) -> Iterator[_Found]:
    """Find what services write beside or instead of a program's name."""
    described = exif.get("ImageDescription", "")
    for text, place in (
        (texts.get("Description"), "PNG text"),
        (described, "EXIF data"),
        (xmp.get("http://purl.org/dc/elements/1.1/ description"), "XMP"),
    ):
        # A prompt with its options, and the job.
        prompt, _, job = (text or "").rpartition(" Job ID: ")
        if re.fullmatch(_UUID, job) and re.search(r" --[a-z]", prompt):
            yield _Found("Midjourney", place, {"prompt": prompt, "job": job})
    # Grok signs with a key that is not public, so that nobody else can check it.
    if _GROK.fullmatch(described) and re.fullmatch(_UUID, exif.get("Artist", "")):
        yield _Found("Grok", "EXIF data", {"image": exif["Artist"]})
    # The label that Chinese law asks of generators, GB 45438-2025.
    for label, place in (
        (read_json(xmp.get(_AIGC, "")), "XMP"),
        (read_json(texts.get("AIGC", "")), "PNG text"),
        (_of(read_json(exif.get("UserComment", "")), "AIGC"), "EXIF data"),
        (_of(read_json(described), "AIGC"), "EXIF data"),
    ):
        if isinstance(label, dict) and str(label.get("Label")) in ("1", "2", "3"):
            surely = str(label["Label"]) == "1"
            producer = plain(label.get("ContentProducer"), 100) or "an unnamed service"
            yield _Found(producer, place, {"label": label}, Verdict.AI if surely else None)


def _of(value: Any, key: str) -> dict[str, Any] | None:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else None
