"""What the names in this field's datasets mean: of classes, of splits, of generators, and of sources of real images."""

import re
from fnmatch import translate

REAL, AI = 0, 1

REAL_NAMES = frozenset([
    "real", "nature", "natural", "human", "photo", "photograph", "authentic", "genuine", "original", "camera",
    "nonai", "notai", "realart",
])  # fmt: skip
AI_NAMES = frozenset([
    "ai", "fake", "synthetic", "artificial", "generated", "synthesized", "aigenerated", "aigc", "aiart", "aiartdata",
    "genai", "gan", "diffusion", "deepfake",
])  # fmt: skip
CERTAIN_NAMES = frozenset([
    "real", "authentic", "genuine", "nonai", "notai", "ai", "fake", "synthetic", "artificial", "generated",
    "synthesized", "aigenerated", "aigc", "genai", "deepfake",
])  # fmt: skip
"""Names of classes that mean nothing else: `photo` or `original` may be about what a picture shows."""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

# Glob patterns of names in lower case without punctuation: `stablediffusion*` is `Stable Diffusion 1.4` as well.
REAL_SOURCES = [
    "afhq*", "artbench*", "cc12m", "cc3m", "celeba", "celebahq*", "celebreal", "coco", "coco[0-9]*", "dresden",
    "ffhq*", "flickr*", "fodb", "imagenet", "imagenet1k", "imagenet[0-9]*", "laion*", "lsun*", "metfaces",
    "mscoco*", "openimages*", "originalsequences", "pexels", "raise", "raise[0-9]*", "unsplash", "wikiart", "yfcc*",
    "youtubereal",
]  # fmt: skip
GENERATORS = [
    "adm", "adm[0-9]*", "attgan", "began", "biggan*", "blendface", "celebsynthesis", "chatgpt*", "collabdiff",
    "controlnet*", "cramergan", "cyclegan*", "dalle*", "ddim", "ddpm", "deepfacelab", "deepfloyd*", "diffstylegan*",
    "diffusiondb*", "diffusiongan*", "e4e", "e4s", "face2face", "facedancer", "faceshifter", "faceswap",
    "facevid2vid", "firefly*", "flux", "flux[0-9]*", "fluxdev*", "fluxkontext*", "fluxpro*", "fluxschnell*", "fomm",
    "fsgan", "ganformer*", "gaugan*", "gen[0-9]", "gen[0-9][0-9]", "glide", "glide[0-9]*", "gpt4o*", "gptimage*",
    "guided", "guideddiffusion", "heygen*", "hunyuan*", "hyperreenact", "iddpm", "ideogram*", "if", "imagen",
    "imagen[0-9]*", "infomaxgan", "inswap*", "journeydb*", "kandinsky*", "kolors*", "latentdiffusion*", "lcm*",
    "ldm", "ldm[0-9]*", "ldmtext2im*", "mcnet", "midjourney*", "mmdgan", "mobileswap", "mraa", "neuraltextures",
    "pirender", "pixart*", "playgroundv*", "pndm", "progan*", "projectedgan*", "rddm", "recraft*", "relgan",
    "s3gan", "sadtalker", "sd", "sd[0-9]*", "sdcontrolnet*", "sdturbo*", "sdv[0-9]*", "sdxl*", "seedream*",
    "simswap*", "sngan*", "stablecascade*", "stablediffusion*", "stargan*", "stgan", "styleclip", "stylegan*",
    "tpsm", "uniface", "vqdiffusion*", "vqdm", "vqgan*", "wav2lip", "whichfaceisreal", "wukong",
]  # fmt: skip
AI_COLLECTIONS = [
    "df40*", "drct2m*", "manipulatedsequences", "synthbuster*",
]  # fmt: skip
"""Datasets of AI images alone, with a folder for each generator."""


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


_REAL_SOURCE, _GENERATOR, _AI_COLLECTION = map(_any_of, (REAL_SOURCES, GENERATORS, AI_COLLECTIONS))
_DATED_SPLIT = re.compile(r"(train|val|test)20\d\d")  # As COCO has them.


def word_of(name: str) -> str:
    """Return what `REAL_NAMES` and `AI_NAMES` are compared with: `1_fake`, `Fake Images` and `fakes` are all `fake`."""
    return re.sub(r"[^a-z]", "", name.lower()).removesuffix("s").removesuffix("image")


def label_of(name: str) -> int | None:
    """Return the class that a folder's name or a table's label stands for, or `None`."""
    word = word_of(name)
    return REAL if word in REAL_NAMES else AI if word in AI_NAMES else None


def plain(name: str) -> str:
    """Return a name in lower case without punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_generator(name: str) -> bool:
    """Say whether a name is that of a known generator."""
    return _GENERATOR.fullmatch(plain(name)) is not None


def is_collection(name: str) -> bool:
    """Say whether a name is that of a known dataset of AI images alone."""
    return _AI_COLLECTION.fullmatch(plain(name)) is not None


def source_of(name: str) -> int | None:
    """Return the class of images from a known source: a generator, or a dataset of one class; else `None`."""
    if is_generator(name) or is_collection(name):
        return AI
    return REAL if _REAL_SOURCE.fullmatch(plain(name)) else None


def split_of(name: str) -> str | None:
    """Return the split that a folder's name or a table's value stands for, or `None`; `val2017` is one too."""
    lower = name.strip().lower()
    dated = _DATED_SPLIT.fullmatch(lower)
    return SPLIT_NAMES.get(dated[1] if dated else lower)
