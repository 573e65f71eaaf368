import tomllib
from pathlib import Path

import msgspec
import pytest

from pyrite.bundle import Crops, Resize, ShorterSide
from pyrite.errors import RecipeError
from pyrite.recipe import Recipe, dump_recipe, load_recipe, make_recipe, shipped_recipes

MINIMAL = {"name": "a", "architecture": "tiny"}
PROBE = ("architecture=backbone", "backbone=ResNet50", "trainable=probe")


def test_shipped_recipes_load() -> None:
    photos = ("photos", "photos-finetune", "photos-probe", "photos-scratch")
    assert shipped_recipes() == ("crops", "default", *photos, "resnet50", "scratch", "teacher", "tiny")
    architectures = [load_recipe(name).architecture for name in shipped_recipes()]
    assert architectures == [
        "tiny",
        "efficientnet_lite0",
        *["backbone"] * 3,
        "compact",
        "resnet50",
        "compact",
        "compact",
        "tiny",
    ]


def test_resnet50_is_what_was_published() -> None:
    recipe = load_recipe("resnet50")
    assert (recipe.height, recipe.width) == (32, 32)
    assert (recipe.epochs, recipe.patience) == (10, 3)
    assert recipe.horizontal_flip
    assert recipe.vertical_flip


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("epochs=5", "epochs", 5),
        (" epochs = 5 ", "epochs", 5),
        ("learning_rate=3e-4", "learning_rate", 3e-4),
        ("learning_rate=1", "learning_rate", 1.0),
        ("horizontal_flip=false", "horizontal_flip", False),
        ("fractions=0.8,0.1,0.1", "fractions", (0.8, 0.1, 0.1)),
        ("fractions=[0.8, 0.1, 0.1]", "fractions", (0.8, 0.1, 0.1)),
        ("optimizer=sgd", "optimizer", "sgd"),
        ("optimizer='sgd'", "optimizer", "sgd"),
        ('licence="CC BY-SA 4.0"', "licence", "CC BY-SA 4.0"),
        ('version="2"', "version", "2"),
        ("licence=CC BY-SA 4.0", "licence", "CC BY-SA 4.0"),
        ("weights=/data/run=3,best.weights.h5", "weights", "/data/run=3,best.weights.h5"),
        ("weights=C:\\keras\\new.h5", "weights", "C:\\keras\\new.h5"),
        ("limit=1_000", "limit", 1000),
        ("teacher=runs/one", "teacher", ("runs/one",)),
        ("teacher=one, two", "teacher", ("one", "two")),
        ("targets=['object']", "targets", ("object",)),
        ("seed=4294967295", "seed", 2**32 - 1),
    ],
)
def test_a_setting_changes_its_key(setting: str, key: str, value: object) -> None:
    recipe = load_recipe("tiny", [setting])
    assert getattr(recipe, key) == value
    assert type(getattr(recipe, key)) is type(value)
    assert msgspec.structs.replace(load_recipe("tiny"), **{key: value}) == recipe


def test_the_last_setting_wins() -> None:
    assert load_recipe("tiny", ["epochs=5", "epochs=6"]).epochs == 6


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epochs", "'epochs' is not KEY=VALUE"),
        ("learning_rte=1", "no setting 'learning_rte': did you mean 'learning_rate'?"),
        ("Epochs=1", "did you mean 'epochs'?"),
        ("zzz=1", "there are name, version, architecture, weights"),
        ("name=a b", "recipe's name is not valid"),
        ('name="a\\n"', "recipe's name is not valid"),
        ("name=", "recipe's name is not valid"),
        ("architecture=1", "recipe's architecture is not valid: Expected `str`, got `int`."),
        ("weights=1", "recipe's weights is not valid"),
        ("height=0", "recipe's height is not valid: Expected `int` >= 1."),
        ("width=5000", "recipe's width is not valid: Expected `int` <= 4096."),
        (
            "protocol=offcial",
            "recipe's protocol is not valid: Invalid enum value 'offcial'. Use 'official' or 'pooled'.",
        ),
        ("fractions=0.5,0.5", "recipe's fractions is not valid: Expected `array` of length 3, got 2."),
        ("fractions=0.5,0.5,x", "recipe's fractions is not valid"),
        ("fractions=0.5,0.5,0.5", "sum to 1"),
        ("fractions=1,0,0", "above 0"),
        ("fractions=nan,0.5,0.5", "above 0"),
        ("limit=0", "recipe's limit is not valid: Expected `int` >= 1."),
        ("seed=-1", "recipe's seed is not valid: Expected `int` >= 0."),
        ("seed=4294967296", "recipe's seed is not valid: Expected `int` <= 4294967295."),
        ("epochs=many", "recipe's epochs is not valid: Expected `int`, got `str`."),
        ("epochs=1.5", "recipe's epochs is not valid"),
        ("epochs=0", "recipe's epochs is not valid"),
        ("patience=0", "recipe's patience is not valid"),
        ("batch_size=0", "recipe's batch_size is not valid"),
        ("optimizer=adam", "Use 'adamw' or 'muon' or 'sgd'."),
        ("export_views=3", "recipe's export_views is not valid: Invalid enum value 3. Use 1 or 2 or 6."),
        ("teacher=", "recipe's teacher is not valid"),
        ("channels=8,8,8", "recipe's channels is not valid: Expected `array` of length 4, got 3."),
        ("learning_rate=0", "recipe's learning_rate is not valid: Expected `float` > 0.0."),
        ("learning_rate=nan", "recipe's learning_rate is not valid"),
        ("learning_rate=inf", "learning_rate must be a finite number"),
        ("warmup=1.1", "recipe's warmup is not valid"),
        ("warmup=nan", "recipe's warmup is not valid"),
        ("weight_decay=-1e-4", "recipe's weight_decay is not valid"),
        ("weight_decay=inf", "weight_decay must be a finite number"),
        ("horizontal_flip=1", "recipe's horizontal_flip is not valid: Expected `bool`, got `int`."),
        ("vertical_flip=yes", "recipe's vertical_flip is not valid"),
        ("licence=", "recipe's licence is not valid"),
        ("version=", "recipe's version is not valid"),
        ("version=2", "recipe's version is not valid: Expected `str`, got `int`."),
        ("weights=/data/\udcff.h5", "not valid Unicode"),
    ],
)
def test_a_bad_setting_is_refused(setting: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny", [setting])
    assert words in str(caught.value)


def test_missing_keys_are_named() -> None:
    with pytest.raises(RecipeError, match="missing required field `architecture`"):
        make_recipe({"name": "a"})


@pytest.mark.parametrize(
    "licence",
    ["CC0", "a 'quoted' \"one\"", "back\\slash", "two\nlines\ttab", "é 漢 🪨", "\x00\x1f\x7f\x85\u2028", "#=[]", " "],
)
def test_a_dump_loads_to_the_same(licence: str, tmp_path: Path) -> None:
    recipe = make_recipe({**MINIMAL, "licence": licence, "learning_rate": 1e-7, "fractions": (0.9, 0.05, 0.05)})
    (tmp_path / "r.toml").write_text(dump_recipe(recipe), "utf-8")
    assert load_recipe(tmp_path / "r.toml") == recipe


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("default", "1b59c52aead4592376798bfac6048ab85aa8d37a485e5c6d8855b1fe6f2413f4"),
        ("resnet50", "ebfe95c1d8872723cb75f6bc718447d81fb2164bb2a255b42ff75b1a21e23382"),
        ("scratch", "ad42bdcd23f0b709a7f7f0a41cde8314ed5b37fce671d312b294447729e2c9b1"),
        ("tiny", "cf7ef3494ca3edc575986a296fb9bda6ce885e7dd6e345385a49424f23b361a9"),
    ],
)
def test_the_hashes_of_older_recipes_stay(name: str, sha256: str) -> None:
    assert load_recipe(name).sha256() == sha256


def test_geometries() -> None:
    assert load_recipe("tiny").preprocess == Resize(height=32, width=32)
    assert load_recipe("tiny", ["filter=lanczos"]).preprocess == Resize(height=32, width=32, filter="lanczos")
    shorter = load_recipe("tiny", ["geometry=shorter_side", "shorter_side=40", "height=36", "filter=bicubic"])
    assert shorter.preprocess == ShorterSide(height=36, width=32, shorter_side=40, filter="bicubic")
    wide = load_recipe("tiny", ["geometry=shorter_side", "width=48"])
    assert wide.preprocess == ShorterSide(height=32, width=48, shorter_side=48)
    crops = load_recipe("crops", ["height=64", "crops=9", "top_share=0.25"])
    assert crops.preprocess == Crops(height=64, width=96, most=9, top_share=0.25)
    assert (crops.canvas_side, load_recipe("crops", ["canvas=100"]).canvas_side) == (384, 100)
    assert load_recipe("tiny").canvas_side is None
    assert load_recipe("tiny", ["geometry=crops"]).sha256() != load_recipe("tiny").sha256()


def test_a_crops_recipe_dumps_to_the_same(tmp_path: Path) -> None:
    for recipe in (load_recipe("crops"), load_recipe("tiny", ["geometry=shorter_side", "shorter_side=40"])):
        (tmp_path / "r.toml").write_text(dump_recipe(recipe), "utf-8")
        assert load_recipe(tmp_path / "r.toml") == recipe


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["geometry=crop"], "recipe's geometry is not valid: Invalid enum value 'crop'. Use 'resize' or"),
        (["geometry=crops", "filter=lanczos"], "filter means nothing to the geometry 'crops': leave it out, or set"),
        (["crops=4"], "crops means nothing to the geometry 'resize': leave it out, or set geometry to 'crops'."),
        (["top_share=0.5"], "top_share means nothing to the geometry 'resize'"),
        (["canvas=128"], "canvas means nothing to the geometry 'resize'"),
        (["shorter_side=40"], "shorter_side means nothing to the geometry 'resize'"),
        (["geometry=crops", "shorter_side=40"], "shorter_side means nothing to the geometry 'crops'"),
        (["geometry=shorter_side", "shorter_side=30"], "must be at least the model's height and width, 32, not 30."),
        (["geometry=crops", "canvas=31"], "canvas must be at least a crop's height and width, 32, not 31."),
        (["geometry=crops", "crops=0"], "recipe's crops is not valid: Expected `int` >= 1."),
        (["geometry=crops", "top_share=1.5"], "recipe's top_share is not valid"),
        (["architecture=backbone"], "needs a backbone: a function of keras.applications such as 'EfficientNetV2B0'"),
        (
            ["trainable=head"],
            "trainable means nothing to the architecture 'tiny': leave it out, or set architecture to",
        ),
        (["scaling=weights"], "scaling means nothing to the architecture 'tiny'"),
        (["architecture=backbone", "backbone=X", "lora_rank=4"], "lora_rank means nothing to the trainable 'all'"),
        (["architecture=backbone", "backbone=X", "trainable=some"], "Use 'all' or 'head' or 'last' or 'lora' or"),
        (["views=2"], "views means nothing to the trainable 'all'"),
        (["balance_by=generator"], "balance_by means nothing to the balance 'none'"),
        (["scales=0.5,1"], "scales means nothing to the geometry 'resize'"),
        (["geometry=shorter_side", "scales=0.5,1"], "scales means nothing without random crops: set canvas"),
        (["geometry=crops", "scales=1,0.5"], "scales must be the smallest and the largest factor, not [1.0, 0.5]."),
        (["geometry=crops", "scales=0,1"], "recipe's scales is not valid: Expected `float` >= 0.1"),
        (["degrade=0.5", "augment_jpeg=0.5"], "degrade and augment_… are two chains for the same purpose"),
        (["augment_jpg=0.5"], "did you mean 'augment_jpeg'?"),
        (["augment_jpeg=1.5"], "recipe's augment_jpeg is not valid"),
        (["mixup=-1"], "recipe's mixup is not valid"),
        (["ema_momentum=1"], "recipe's ema_momentum is not valid"),
        (["monitor=auroc"], "Use 'val_auroc' or 'val_calibrated_loss'."),
        (["schedule=step"], "Use 'constant' or 'cosine' or 'linear'."),
        (["channels=8,8,8,8"], "channels means nothing to the architecture 'tiny'"),
        (["stem=whitened"], "stem means nothing to the architecture 'tiny'"),
        (["alternating_flip=true", "horizontal_flip=false"], "alternating_flip means nothing to the horizontal_flip"),
        (
            ["distillation_weight=0.9"],
            "distillation_weight means nothing without teacher: leave it out, or set teacher.",
        ),
        (["targets_weight=0.9"], "targets_weight means nothing without targets: leave it out, or set targets."),
        (["turn=0.5", "height=16"], "Only square model inputs can be turned"),
        ([*PROBE, "teacher=a"], "teacher means nothing to a probe"),
        ([*PROBE, "start_from=a"], "start_from means nothing to a probe"),
        (["start_share=0.5"], "start_share means nothing without start_from: leave it out, or set start_from."),
        (
            ["start_from=a", "weights=imagenet"],
            "start_from and weights = 'imagenet' both say what training starts from",
        ),
        ([*PROBE, "targets=object"], "targets means nothing to a probe"),
        ([*PROBE, "degrade=0.5"], "degrade means nothing to a probe without augmented views: set views, or degrade to"),
        ([*PROBE, "augment_jpeg=1"], "augment_jpeg means nothing to a probe without augmented views"),
        ([*PROBE, "mixup=0.2"], "mixup means nothing to a probe"),
        ([*PROBE, "balance=sampling"], "A probe balances by weights: use balance = 'weights'."),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: list[str], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny", settings)
    assert words in str(caught.value)


def test_a_dump_holds_every_setting() -> None:
    recipe = load_recipe("crops", ["limit=5", "canvas=200"])
    missing = [name for name in Recipe.__struct_fields__ if name not in tomllib.loads(dump_recipe(recipe))]
    assert missing == ["shorter_side", "split_seed"]  # TOML has nothing for what is not set.


def test_the_hash_is_of_the_settings_alone(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("# A comment.\narchitecture = 'tiny'\nname = 'a'\n")
    recipe = load_recipe(tmp_path / "r.toml")
    assert recipe.sha256() == make_recipe(MINIMAL).sha256()
    assert recipe.sha256() == "9622a716d1da787f5dc8aeea47ecb8d53d41a52410e6d38f2a73394b25fb68e2"
    assert recipe.sha256() != make_recipe({**MINIMAL, "seed": 1}).sha256()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = ", "is not valid TOML"),
        (b"name = '\xff'", "is not valid TOML"),
        (b"[training]\nepochs = 3", "no setting 'training'"),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_a_bad_file_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert words in str(caught.value)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(
        RecipeError, match=r"no recipe 'resnet18'. There are crops, default, .*, tiny; or give the path"
    ):
        load_recipe("resnet18")
