"""What generators write into their files: recognised by the exact field and form, never by a word in a text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pyrite.evidence.labels import MEANINGS, meaning_of, producer_of, read_label
from pyrite.evidence.metadata import Metadata
from pyrite.evidence.names import CREDIT_FIELDS, SOFTWARE_FIELDS, company_of, find_in_credit, find_name, key_of
from pyrite.evidence.prompts import find_programs
from pyrite.evidence.source_types import AI_EXTENTS, DID, TERMS, read_term
from pyrite.evidence.values import plain, read_json, read_object, tidy
from pyrite.evidence.xmp import texts_of
from pyrite.results import Evidence, Extent, Strength, Verdict

IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ "
_ANYONE = "which anyone could have written"
_UNNAMED = "an AI system that it does not name"


@dataclass(frozen=True, slots=True)
class _Found:
    generator: str
    place: str
    """Where it was written."""
    details: Mapping[str, object] = field(default_factory=dict)
    says: Verdict | None = Verdict.AI
    extent: Extent | None = Extent.WHOLE
    note: str = ""
    """What is told instead of what the generator did."""
    company: str | None = None
    """Where the name does not tell."""


def read_generator(metadata: Metadata) -> list[Evidence]:
    """Report the generators that the file's texts name, and its digital source types."""
    found: dict[str, _Found] = {}
    for item in _find(metadata):
        known = found.get(item.generator)
        found[item.generator] = item if known is None else _join(known, item)
    return [_to_evidence(item) for item in found.values()] + list(_read_source_types(metadata))


def _join(first: _Found, second: _Found) -> _Found:
    """Return what two texts say that name the same generator: that which says AI, and the details of both."""
    if first.says is None and second.says is Verdict.AI:
        first, second = second, first
    told = {key: value for key, value in first.details.items() if value not in (None, "")}
    return replace(first, details={**second.details, **told})


def _find(metadata: Metadata) -> Iterator[_Found]:
    for place, made in find_programs(metadata):
        yield _Found(made.program, place, made.details, made.says, made.extent, made.note)
    yield from _find_ai_properties(metadata)
    yield from _find_names(metadata)
    yield from _find_labels(metadata)


def _to_evidence(item: _Found) -> Evidence:
    name = plain(item.generator, 100) or "an unnamed service"
    company = company_of(item.generator) if item.company is None else item.company
    extent = item.extent if item.says is Verdict.AI else None
    data = tidy({"generator": name, "company": company, "place": item.place, "extent": extent, **item.details})
    by = name if not company or company.lower() in name.lower() else f"{name} ({company})"
    model = f" with the model {plain(data['model'], 100)}" if "model" in data else ""
    if item.note:
        detail = f"The file's {item.place} names {by}: {item.note}."
    elif item.says is Verdict.AI:
        did = DID[item.extent or Extent.UNKNOWN]
        detail = f"The file's {item.place} says that this image was {did} by {by}{model}, {_ANYONE}."
    else:
        detail = f"The file's {item.place} says that {by} may have made or changed this image{model}, {_ANYONE}."
    return Evidence("generator", Strength.ASSERTED, item.says, detail, data)


def _read_source_types(metadata: Metadata) -> Iterator[Evidence]:
    terms: dict[str, str] = {}
    for name, value in metadata.xmp.items():
        if name.rpartition(" ")[2].lower() == "digitalsourcetype":
            terms |= {read_term(text): "XMP" for text in texts_of(value)}
    for item in metadata.fields:
        if item.place != "XMP" and item.name.lower().replace(" ", "") == "digitalsourcetype":
            terms.setdefault(read_term(item.text), item.place)
    for address, place in terms.items():
        term = plain(address, 100)
        extent = AI_EXTENTS.get(term)
        meaning = f"{TERMS[term]} ({term})" if term in TERMS else f"“{term}”, which is not a known digital source type"
        yield Evidence(
            kind="source_type",
            strength=Strength.ASSERTED,
            says=Verdict.AI if extent else None,
            detail=f"The file's {place} says that this image was {meaning}, {_ANYONE}."
            if term in TERMS
            else f"The file's {place} has the digital source type {meaning}.",
            data=tidy({"digital_source_type": term, "extent": extent, "place": place}),
        )


def _find_ai_properties(metadata: Metadata) -> Iterator[_Found]:
    """Find the properties that IPTC has for generated images alone, whatever they name (version 2025.1)."""
    system, version, prompt, writer = (
        metadata.property(IPTC + name)
        for name in ("AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName")
    )
    if system or version or prompt or writer:
        known = find_name(system)
        details = {"software": system, "version": version, "prompt": prompt, "prompt_writer": writer}
        yield _Found(known.name if known else system or _UNNAMED, "XMP", details)


def _find_names(metadata: Metadata) -> Iterator[_Found]:
    """Find generators in the fields that name the program or the source, as the whole of what they say."""
    for item in metadata.fields:
        field_ = key_of(item.name)
        # An author is no program, though XMP calls one a creator.
        if field_ in SOFTWARE_FIELDS and (item.place, field_) != ("XMP", "creator"):
            name, key = find_name(item.text), "software"
        elif field_ in CREDIT_FIELDS and (item.place, field_) != ("PNG text", "source"):  # There it is a device.
            name, key = find_in_credit(item.text), "credit"
        else:
            continue
        if name is not None:
            extent = Extent.PART if name.edited else Extent.WHOLE
            yield _Found(name.name, item.place, {key: item.text}, extent=extent)


def _find_labels(metadata: Metadata) -> Iterator[_Found]:
    """Find what law and makers of phones have put into files, beside or instead of a program's name."""
    for item in metadata.fields:
        value = read_json(item.text)
        if item.place == "Samsung trailer":
            kind = read_object(value).get("genAIType")
            if isinstance(kind, int) and kind > 0:
                details = {"generative_edit": kind}
                yield _Found("Samsung", item.place, details, extent=Extent.PART, company="Samsung")
        elif (label := read_label(item.name, value)) is not None:
            says, meaning = MEANINGS[meaning_of(label["Label"])]
            producer, code = producer_of(label)
            name = producer.name if producer else (found.name if (found := find_name(code)) else code)
            yield _Found(
                name or "an unnamed service",
                item.place,
                {"label": label, "label_meaning": meaning, "producer_code": code},
                says,
                note="" if says else f"it is labelled as {meaning}, by China's rules, {_ANYONE}",
                company=producer.company if producer else None,
            )
