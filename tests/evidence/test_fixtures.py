"""Files that others made: C2PA's public test files, and what real generators and cameras wrote."""

from pathlib import Path

import pytest
from documented import check_documented

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Evidence, Strength, Verdict

FIXTURES = Path(__file__).parents[3] / "shared" / "data" / "fixtures"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not there"),
]


def read(path: str) -> list[Evidence]:
    found = read_evidence(open_image(FIXTURES / path))
    for item in found:
        check_documented(item)
    # Of none of them, the thumbnail shows something else.
    assert not any("thumbnail_correlation" in item.data for item in found)
    found = [item for item in found if item.kind != "history"]
    assert all(item.strength is Strength.ASSERTED for item in found)
    return found


@pytest.mark.parametrize(
    "name", ["C", "CACA", "CA_ct", "C_with_CAWG_data", "ocsp_with_assertion", "adobe-20220124-CAI"]
)
def test_valid_credentials(name: str) -> None:
    pytest.importorskip("c2pa")
    [found] = read(f"credentials/{name}.jpg")
    assert found.data["valid"]
    assert not found.data["trusted"]
    assert (found.says, found.strength) == (None, Strength.ASSERTED)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("XCA", "assertion.dataHash.mismatch"),
        ("adobe-20220124-E-dat-CA", "assertion.dataHash.mismatch"),
        ("adobe-20220124-E-sig-CA", "claimSignature.mismatch"),
        ("adobe-20220124-E-uri-CA", "assertion.hashedURI.mismatch"),
        ("adobe-20220124-XCA", "assertion.dataHash.mismatch"),
    ],
)
def test_tampered_files(name: str, code: str) -> None:
    pytest.importorskip("c2pa")
    [found] = read(f"credentials/{name}.jpg")
    assert not found.data["valid"]
    assert [item["code"] for item in found.data["failures"]] == [code]
    assert found.says is None


def test_remote_credentials() -> None:
    [found] = read("credentials/cloud.jpg")
    assert found.data["remote_url"].startswith("https://cai-manifests.adobe.com/")


@pytest.mark.parametrize("name", ["no_manifest.jpg", "earth_apollo17.jpg", "libpng-test.png", "mars.webp"])
def test_files_without_anything(name: str) -> None:
    assert read(f"credentials/{name}") == []


COMFYUI_AVOIDS = "(hands), text, error, cropped, (worst quality:1.2), (low quality:1.2), normal quality, (jpeg"
DELIBERATE = "IL_Deliberate 2.0 [deliberate_v2]"
WOMAN = "professional full body photo of young woman, hyper long brunette hair, elegant hair, wearing a bikini top and"
WOMAN_ENDS = "realistic, high quality, film grain, low contrast"

# Program, model or models, seed, how the prompt begins, and the one of what to avoid: as they stand in the files.
GENERATORS = {
    "07-pen-and-watercolor-painting.webp": (
        "AUTOMATIC1111", [DELIBERATE], 4183556137, "pen and watercolor painting of Henry Cavill, highres",
        "superman, nsfw, logo, text, signature, watermark, copyright, border, frame, picture frame",
    ),
    "15-lomography.webp": (
        "AUTOMATIC1111", [DELIBERATE], 1949991110, "lomography photo of Henry Cavill", "superman, nsfw, nude, naked",
    ),
    "24-mezzotint-print.webp": (
        "AUTOMATIC1111", [DELIBERATE], 1241006284, "Mezzotint of Henry Cavill, monochromatic",
        "superman, nsfw, border, frame, picture frame, logo, text, signature, watermark, copyright",
    ),
    "40-palette-knife-oil-painting.webp": (
        "AUTOMATIC1111", [DELIBERATE], 2232450929, "palette knife oil painting of Henry Cavill", "superman, nsfw",
    ),
    "flux_depth_lora_example.png": (
        "ComfyUI", ["flux1-dev.safetensors"], 91050358797301, "a photograph of a shark in the sea", "",
    ),
    "lora.png": (
        "ComfyUI", ["v1-5-pruned-emaonly.ckpt"], 851616030078638, "masterpiece best quality girl", "bad hands",
    ),
    "ltxv_image_to_video.0.9.5.webp": (
        "ComfyUI", ["ltx-video-2b-v0.9.5.safetensors"], 397166166231987,
        "A red fox moving gracefully, its russet coat vibrant against the white landscape, leaving perfect",
        "low quality, worst quality, deformed, distorted, disfigured, motion smear, motion artifacts, fused fingers",
    ),
    "txt_to_image_to_video.webp": (
        "ComfyUI", ["sd_xl_1.0.safetensors", "svd_xt.safetensors"], 144698910769133,
        "photograph beautiful scenery nature mountains alps river rapids snow sky cumulus clouds", "text, watermark",
    ),
    "sd-parsers/bad_images/text_after_idat.png": (
        "AUTOMATIC1111", ["realistic_realisticVisionV20_v20"], 235284042, "photo of a duck", "monochrome",
    ),
    "sd-parsers/parsers/AUTOMATIC1111/automatic1111_cropped.jpg": (
        "AUTOMATIC1111", ["realistic_realisticVisionV20_v20"], 235284042, "photo of a duck", "monochrome",
    ),
    "sd-parsers/parsers/AUTOMATIC1111/automatic1111_cropped.png": (
        "AUTOMATIC1111", ["realistic_realisticVisionV20_v20"], 235284042, "photo of a duck", "monochrome",
    ),
    "sd-parsers/parsers/AUTOMATIC1111/automatic1111_stealth.png": (
        "AUTOMATIC1111", ["realisticVisionV51_v51VAE"], 2015833630, "a circle", "a square",
    ),
    "sd-parsers/parsers/ComfyUI/img2img_cropped.png": (
        "ComfyUI", ["v1-5-pruned-emaonly.ckpt"], 280823642470253,
        "photograph of victorian woman with wings, sky clouds, meadow grass", "watermark, text",
    ),
    "sd-parsers/parsers/ComfyUI/night_evening_day_morning_cropped.png": (
        "ComfyUI", ["Anything-V3.0.ckpt", "AbyssOrangeMix2_hard.safetensors"], 335608130539327,
        "(best quality) (night:1.3) (darkness) sky (black) (stars:1.2) (galaxy:1.2) (space) (universe)\n"
        "(best quality) (evening:1.2) (sky:1.2) (clouds) (colorful) (HDR:1.2) (sunset:1.3)\n"
        "(best quality) (daytime:1.2) sky (blue)\n(masterpiece) (best quality) morning sky\n"
        "(masterpiece) (best quality) beautiful landscape breathtaking amazing view nature photograph forest",
        COMFYUI_AVOIDS,
    ),
    "sd-parsers/parsers/ComfyUI/noisy_latents_3_subjects_cropped.png": (
        # The last pass adds no noise; this is the seed of the nearest that does.
        "ComfyUI", ["Anything-V3.0.ckpt"], 200072334202574, "girl (flat chest:0.9), (fennec ears:1.0)", COMFYUI_AVOIDS,
    ),
    "sd-parsers/parsers/ComfyUI/unclip_2pass_cropped.png": (
        "ComfyUI", ["wd-1-5-beta2-aesthetic-unclip-h-fp32.safetensors", "cardosAnimated_v20.safetensors"],
        1106257833005336, "(waifu, anime, exceptional, best aesthetic, new, newest, best quality, masterpiece",
        "lowres, (bad anatomy), (bad hands), text, missing finger, extra digits, fewer digits, blurry",
    ),
    "sd-parsers/parsers/Fooocus/fooocus1_cropped.png": (
        "Fooocus", ["juggernautXL_v8Rundiffusion"], 6952411511246973023, "a smiling goldfish", "",
    ),
    "sd-parsers/parsers/InvokeAI/invokeai_dream1.png": (
        "InvokeAI", [], 2980747362, WOMAN, "rendering, glowing eyes, skinny",
    ),
    "sd-parsers/parsers/InvokeAI/invokeai_imeta1.png": (
        "InvokeAI", ["juggernautXL"], 3293022630, "digital artwork, oil painting. painterly brushstrokes, holidays,",
        "grainy+, photo, oversaturated, overexposed, blurry, compressed jpg+, noisy++, unfocused , black and white",
    ),
    "sd-parsers/parsers/InvokeAI/invokeai_sdmeta1.png": (
        "InvokeAI", ["deliberateForInvoke_v08"], 2980747362, WOMAN, "rendering, glowing eyes, skinny",
    ),
    "sd-parsers/parsers/NovelAI/novelai1_cropped.png": (
        "NovelAI", ["Stable Diffusion 1D44365E"], 2253955223, "masterpiece, best quality,  cat, space, icon",
        "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name: str) -> None:
    program, models, seed, prompt, avoided = GENERATORS[name]
    [found] = read(f"generator/{name}")
    assert (found.kind, found.says, found.data["generator"]) == ("generator", Verdict.AI, program)
    assert (found.data.get("model"), found.data["seed"]) == (models[0] if models else None, seed)
    assert found.data.get("models", models[:1]) == models
    assert found.data["prompt"].startswith(prompt)
    # One that a file has not is left out.
    assert bool(avoided) is ("negative_prompt" in found.data)
    assert found.data.get("negative_prompt", "").startswith(avoided)
    assert prompt is not WOMAN or found.data["prompt"].endswith(WOMAN_ENDS)


# By the files' names; the rest of them names no camera.
CAMERAS = {
    "Canon_PowerShot_S40.jpg": "Canon PowerShot S40",
    "DSCN0012.jpg": "NIKON COOLPIX P6000",
    "DSCN0025.jpg": "NIKON COOLPIX P6000",
    "DSCN0029.jpg": "NIKON COOLPIX P6000",
    "DSCN0040.jpg": "NIKON COOLPIX P6000",
    "Fujifilm_FinePix_E500.jpg": "FUJIFILM FinePix E500",
    "HMD_Nokia_8.3_5G_hdr.heif": "",
    "IMG_5195.HEIC": "Apple iPhone 11 Pro Max",
    "Konica_Minolta_DiMAGE_Z3.jpg": "KONICA MINOLTA DiMAGE Z3",
    "Nikon_D70.jpg": "NIKON CORPORATION NIKON D70",
    "Pentax_K10D.jpg": "PENTAX Corporation PENTAX K10D",
    "Ricoh_Caplio_RR330.jpg": "Caplio RR330",
    "Sony_HDR-HC3.jpg": "SONY HDR-HC3",
    "canon-ixus.jpg": "Canon DIGITAL IXUS",
    "fujifilm-finepix40i.jpg": "FUJIFILM FinePix40i",
    "kodak-dc210.jpg": "Eastman Kodak Company DC210 Zoom (V05.00)",
    "nikon-e950.jpg": "NIKON E950",
    "sanyo-vpcg250.jpg": "SANYO Electric Co.,Ltd. SR6",
    "sony-cybershot.jpg": "SONY CYBERSHOT",
}


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("camera/*.*")))
def test_cameras(name: str) -> None:
    if name.lower().endswith((".heic", ".heif")):
        pytest.importorskip("pillow_heif")
    found = read(f"camera/{name}")
    assert [(item.kind, item.says) for item in found] == [("camera", None)] * (name in CAMERAS)
    for item in found:
        told = f"names a camera, {CAMERAS[name]}, which" if CAMERAS[name] else "names no camera, which"
        assert told in item.detail
        assert {"exposure_time", "f_number", "iso"} & item.data.keys()


def test_every_file_is_there() -> None:
    """A file that is not listed, or gone, would be a test that is not run."""
    assert {path.name for path in FIXTURES.glob("camera/*.*")} >= CAMERAS.keys()
    listed = {FIXTURES / "generator" / name for name in GENERATORS}
    others = {"house_scribble.png", "sunset.png", "empty_file.png", "empty_image.jpg", "empty_image.png"}
    assert {path for path in FIXTURES.glob("generator/**/*.*") if path.is_file() and path.name not in others} == listed


def test_a_photograph_among_the_examples() -> None:
    [found] = read("generator/sunset.png")
    assert (found.kind, found.says, found.data["model"]) == ("camera", None, "NIKON D90")


@pytest.mark.parametrize("name", ["house_scribble.png", "sd-parsers/bad_images/empty_image.png"])
def test_examples_without_anything(name: str) -> None:
    assert read(f"generator/{name}") == []
