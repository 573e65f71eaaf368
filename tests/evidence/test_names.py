"""Generators by name: as the whole of a field for programs or sources, and never a person or a camera."""

import pytest
from containers import iptc, jpeg_with, photoshop
from metadata_files import Base, jpeg, only, png, xmp

from pyrite.evidence import read_evidence
from pyrite.evidence.names import all_names, find_name
from pyrite.evidence.statements import CHANGED
from pyrite.image import open_image
from pyrite.results import Verdict


@pytest.mark.parametrize(
    ("written", "name", "company"),
    [
        ("Gemini", "Gemini", "Google"), ("Google Gemini", "Gemini", "Google"),
        ("Gemini 2.5 Flash Image", "Gemini", "Google"), ("Imagen 4 Ultra", "Google Imagen", "Google"),
        ("Nano Banana Pro", "Nano Banana", "Google"), ("Made with Google AI", "Google AI", "Google"),
        ("Sora", "Sora", "OpenAI"), ("gpt-image-1", "GPT Image", "OpenAI"), ("GPT-4o", "GPT Image", "OpenAI"),
        ("OpenAI's ChatGPT", "ChatGPT", "OpenAI"), ("Adobe_Firefly", "Adobe Firefly", "Adobe"),
        ("ADOBE FIREFLY IMAGE 4", "Adobe Firefly", "Adobe"), ("Grok Imagine", "Grok", "xAI"),
        ("xAI: Grok", "Grok", "xAI"), ("Meta AI", "Meta AI", "Meta"),
        ("Imagined with AI", "Imagine with Meta AI", "Meta"),
        ("FLUX.1 [dev]", "FLUX", "Black Forest Labs"), ("FLUX.1 Kontext [pro]", "FLUX", "Black Forest Labs"),
        ("flux-1.1-pro", "FLUX", "Black Forest Labs"), ("Ideogram 3.0", "Ideogram", "Ideogram"),
        ("Recraft V3", "Recraft", "Recraft"), ("Seedream 4.0", "Seedream", "ByteDance"),
        ("stable-diffusion-3.5-large", "Stable Diffusion", "Stability AI"),
        ("Midjourney (v7)", "Midjourney", "Midjourney"), ("Image generated with DALL-E 3", "DALL-E", "OpenAI"),
        ("Created with the Bing Image Creator", "Bing Image Creator", "Microsoft"),
        ("black-forest-labs/FLUX.1-schnell", "FLUX", "Black Forest Labs"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "Stable Diffusion", "Stability AI"),
        ("AI-generated image", "an AI system that it does not name", None),
        ("Made with AI", "an AI system that it does not name", None),
    ],
)  # fmt: skip
def test_a_program_by_name_with_company_version_and_what_it_did(written: str, name: str, company: str | None) -> None:
    for data in (
        png(Software=written),
        jpeg({Base.Software: written}),
        xmp(f'xmp:CreatorTool="{written}">'),
        xmp(f"><photoshop:Credit>Made with {written.removeprefix('Made with ')}</photoshop:Credit>")
        if " with" not in written[4:]
        else png(Software=written),
        jpeg_with((0xED, photoshop(iptc(d65=written)))),
    ):
        found = only(data)
        assert (found.kind, found.says) == ("generator", Verdict.AI)
        assert (found.data["generator"], found.data.get("company")) == (name, company)


@pytest.mark.parametrize(
    ("written", "extent"),
    [
        ("Edited with Google AI", "part"), ("Photo assist", "part"), ("Adobe Photoshop Generative Fill", "part"),
        ("Enhanced by Gemini", "part"), ("Created with Gemini", "whole"), ("Gemini", "whole"),
    ],
)  # fmt: skip
def test_made_and_changed_are_told_apart(written: str, extent: str) -> None:
    found = only(png(Software=written))
    assert found.data["extent"] == extent
    assert ("changed with AI" if extent == "part" else "made with AI") in found.detail


@pytest.mark.parametrize(
    "data",
    [
        jpeg({Base.Make: "Imagen", Base.Model: "Imagen X1"}),
        jpeg({Base.Make: "Gemini", Base.Model: "Gemini 2"}),
        jpeg({Base.Make: "Meta AI", Base.Model: "Ray-Ban Meta Smart Glasses 2", Base.Software: "Meta View 204"}),
        jpeg({Base.HostComputer: "gemini"}),
        jpeg({Base.HostComputer: "firefly"}),
        jpeg({Base.Artist: "Flux", Base.Copyright: "Flux Photography"}),
        jpeg({Base.Artist: "Gemini Flash"}),
        png(Author="Flux", Source="Stable Diffusion", Title="Midjourney"),
        xmp("><photoshop:Credit>Sora</photoshop:Credit>"),
        *(
            jpeg_with((0xED, photoshop(iptc(d110=written))))
            for written in (
                "AFP/Sora", "NASA/Gemini", "Reuters/MJ", "MJ", "Sora (AFP)", "Runway Images", "Firefly Images",
                "Flux Image", "Lensa", "PixArt", "AFP/Sora 2", "OpenAI", "AFP/OpenAI", "Google DeepMind", "xAI",
                "Stability AI", "Black Forest Labs", "Luma AI", "Dream Lab", "Created by Sora", "Photo edited by Flux",
            )
        ),
        xmp("><photoshop:Credit>Grok</photoshop:Credit><photoshop:Source>Kandinsky</photoshop:Source>"),
        xmp("><dc:creator><rdf:Seq><rdf:li>Flux</rdf:li></rdf:Seq></dc:creator>"),
        jpeg_with((0xED, photoshop(iptc(d80="Flux", d110="Imagen", d115="Firefly")))),
        *(
            png(Software=written)
            for written in (
                "Imagenomic Portraiture", "Fluxus 3", "Geminid Tracker", "GeminiPhoto", "Adobe Photoshop 25.0",
                "Adobe Photoshop with Adobe Firefly", "not OpenAI", "ChatGPT Export Helper", "Google AI Studio Viewer",
                "Krita 5.2", "GIMP 2.10", "HDR+ 1.0.6", "AI", "Adobe Illustrator (AI)", "Stable Diffusion fan", "Canva",
                "Recrafted Photos", "Soraya", "Grokker 2", "samsung", "S928BXXU1AXB5", "Meta", "Doubaoer", "x" * 500,
            )
        ),
    ],
    ids=range(57),
)  # fmt: skip
def test_what_only_sounds_like_a_generator_says_nothing(data: bytes) -> None:
    assert [item for item in read_evidence(open_image(data)) if item.says is not None] == []
    assert [item.kind for item in read_evidence(open_image(data)) if item.kind == "generator"] == []


@pytest.mark.parametrize(
    "written",
    [
        "Sora 2",
        "OpenAI Sora",
        "Sora (OpenAI)",
        "Made with Sora",
        "FLUX.1 dev",
        "Google's Gemini",
        "Midjourney",
        "Generated by Sora",
        "Süddeutsche/Midjourney",
        "Made with OpenAI",
    ],
)
def test_a_credit_that_can_only_be_a_generator_counts(written: str) -> None:
    assert only(jpeg_with((0xED, photoshop(iptc(d110=written))))).says == Verdict.AI


def test_every_name_of_the_list_is_found_and_is_its_own() -> None:
    words = [word for _, _, listed in all_names() for word in listed]
    assert len(words) == len(set(words))
    for name, company, listed in all_names():
        for word in listed:
            assert word == word.lower()
            found = find_name(f"made with {word}")
            assert found is not None, word
            assert (found.name, found.company) == (name, company), word


def test_a_long_text_takes_no_time() -> None:
    for text in (
        "made with " * 20,
        "flux " * 40,
        "(" * 200,
        "google " * 28,
        "ai-" * 66,
        "flux (((((((((((" * 12,
        "flux" + "-1" * 90 + "é!é",
        "flux" + "1a" * 90 + "!é",
    ):
        assert find_name(text) is None
    for text in ("a_" * 27 + "inpainting" + "_a" * 67 + "!", "generative fill" + ".a" * 90 + "!"):
        assert CHANGED.fullmatch(text) is None
