"""The bundle `photos`: the sets that it is made from, and what of it ships with Pyrite.

    python benchmarks/photos.py sets photos.zip --out sets
    python benchmarks/photos.py across calibrated --test test/scores.parquet --out across.json
    python benchmarks/photos.py panels photos=a/scores.parquet organika=b/scores.parquet --sets sets --out panels.json
    python benchmarks/photos.py ship calibrated --card card.md --out src/pyrite/bundles/photos

The zip has a manifest.csv with `file`, `source`, `label`, `generator` and `use`: images of `train` train, real ones of
`calib` (other cameras) calibrate, each also as a smaller copy that was saved again, and AI images of `valai` (other
generators) test, in both forms; `whole` has the last two in one. results/photos/README.md has the commands between.
"""

import argparse
import csv
import io
import itertools
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pyrite.bundle import DEFAULT, load_bundle, save_bundle
from pyrite.bundle.joint import fit_joint
from pyrite.golden import golden_images, record_golden
from training import machine

_LARGE = 50  # Photographs of a source that is a group by itself; those of the others are one, so that each can keep 1%.
_QUALITY, _SCALE, _LEAST = 75, 0.7, 224
_BUDGETS = (0.05, 0.01)
_SCOPE = "Photographs at their own resolution, 224 or more pixels a side."
_GOLDEN = 256  # pixels a side
_COLUMNS = ("path", "label", "generator", "source", "group", "saved")


def main() -> None:
    """Make the sets, or the folder that ships."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    sets = verbs.add_parser("sets")
    sets.add_argument("photos", type=Path)
    sets.add_argument("--out", type=Path, required=True)
    across = verbs.add_parser("across")
    across.add_argument("bundle", type=Path)
    across.add_argument("--test", type=Path, required=True)
    across.add_argument("--out", type=Path, required=True)
    panels = verbs.add_parser("panels")
    panels.add_argument("members", nargs="+", metavar="NAME=SCORES")
    panels.add_argument("--sets", type=Path, required=True)
    panels.add_argument("--out", type=Path, required=True)
    ship = verbs.add_parser("ship")
    ship.add_argument("bundle", type=Path)
    ship.add_argument("--card", type=Path, required=True)
    ship.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.verb == "sets":
        make_sets(arguments.photos, arguments.out)
    elif arguments.verb == "across":
        measure_across(arguments.bundle, arguments.test, arguments.out)
    elif arguments.verb == "panels":
        measure_panels(dict(one.split("=", 1) for one in arguments.members), arguments.sets, arguments.out)
    else:
        ship_bundle(arguments.bundle, arguments.card, arguments.out)


def make_sets(photos: Path, out: Path) -> None:
    """Write `train`, `calib` and `test`, each a folder with a manifest.csv."""
    with zipfile.ZipFile(photos) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        names = {Path(name).name: name for name in archive.namelist()}
        for row in rows:
            row["content"] = names[Path(row["file"]).name]
        calib = [row for row in rows if (row["use"], row["label"]) == ("calib", "REAL")]
        tested = [row for row in rows if row["use"] == "valai"]
        write_set(out / "train", archive, [(row, "as it is") for row in rows if row["use"] == "train"])
        write_set(out / "calib", archive, [(row, saved) for row in calib for saved in ("as it is", "smaller")])
        write_set(out / "test", archive, [(row, saved) for row in tested for saved in ("as it is", "smaller")])
        both = [(row, saved) for row in (*calib, *tested) for saved in ("as it is", "smaller")]
        write_set(out / "whole", archive, both)


def write_set(out: Path, archive: zipfile.ZipFile, chosen: list[tuple[dict[str, str], str]]) -> None:
    """Write images and their table; one that would become too small is left out, and counted."""
    out.mkdir(parents=True)
    sizes: dict[str, int] = {}
    for row, _ in chosen:
        sizes[row["source"]] = sizes.get(row["source"], 0) + 1
    written, left_out = list[dict[str, str]](), 0
    for row, saved in chosen:
        content = archive.read(row["content"])
        name = Path(row["content"]).name
        if saved == "smaller":
            content, name = save_smaller(content), f"{saved}-{Path(name).stem}.jpg"
        if not content:
            left_out += 1
            continue
        path = out / row["source"] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        group = row["source"] if sizes[row["source"]] > _LARGE * len({kind for _, kind in chosen}) else "others"
        named = {key: row[key] for key in ("label", "generator", "source")}
        written.append({"path": f"{row['source']}/{name}", **named, "group": group, "saved": saved})
    with (out / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, _COLUMNS)
        table.writeheader()
        table.writerows(written)
    print(f"{out}: {len(written):,} images; {left_out:,} would have become smaller than {_LEAST} pixels")


def save_smaller(content: bytes) -> bytes:
    """Return an image as a service hands it on: a JPEG of fewer pixels; empty where these are too few."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = (round(_SCALE * side) for side in image.size)
    if min(width, height) < _LEAST:
        return b""
    stream = io.BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def measure_across(bundle: Path, test: Path, out: Path) -> None:
    """Tell what a calibration keeps on groups that it has not seen, and what it then finds, by generator.

    Each group's images are judged by the p-values of the others: those that calibrate are never those that are judged.
    """
    scores = {name: np.array(logits) for name, logits in load_bundle(bundle).info.calibration.real.items()}
    groups = sorted(scores)
    ai = [row for row in pq.read_table(test).to_pylist() if row["logit"] is not None]
    every = np.concatenate(list(scores.values()))
    found: dict[str, object] = {"groups": {name: len(values) for name, values in scores.items()}}
    found["auroc"] = {
        " of ".join(filter(None, (saved, generator))) or "all": interval(every, logits)
        for generator in ("", *sorted({row["slice:generator"] for row in ai}))
        for saved in ("", "as it is", "smaller")
        if len(
            logits := np.array(
                [r["logit"] for r in ai if generator in ("", r["slice:generator"]) and saved in ("", r["slice:saved"])]
            )
        )
    }
    for budget in _BUDGETS:
        alarms = {
            name: float(np.mean(p_real(scores[name], [scores[other] for other in groups if other != name]) <= budget))
            for name in groups
        }
        p_values = p_real(np.array([row["logit"] for row in ai]), list(scores.values()))
        shares = {
            name: float(
                np.mean([p <= budget for p, row in zip(p_values, ai, strict=True) if row["slice:generator"] == name])
            )
            for name in sorted({row["slice:generator"] for row in ai})
        }
        found[f"{budget:g}"] = {"false alarms of a group by the others": alarms, "found": shares}
    out.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def measure_panels(members: dict[str, str], sets: Path, out: Path) -> None:
    """Tell what each detector finds alone and with others: Fisher's statistic, calibrated as one, by group.

    Each group of real images is judged by the calibration of the other groups, as are the AI images beside it.
    """
    tables = {name: pq.read_table(path).to_pylist() for name, path in members.items()}
    logits = {name: {row["path"]: row["logit"] for row in rows} for name, rows in tables.items()}
    with (sets / "whole" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows = [row for row in rows if all(logits[name].get(row["path"]) is not None for name in members)]
    labels = np.array([row["label"].upper() != "REAL" for row in rows])
    groups = np.array([row["group"] for row in rows])
    generators = np.array([row["generator"] for row in rows])
    scores = {name: np.array([logits[name][row["path"]] for row in rows], float) for name in members}
    found: dict[str, object] = {"images": {"real": int(np.sum(~labels)), "ai": int(np.sum(labels))}}
    for count in range(1, len(members) + 1):
        for chosen in itertools.combinations(members, count):
            found[" + ".join(chosen)] = judge_panel({name: scores[name] for name in chosen}, labels, groups, generators)
    out.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def judge_panel(
    scores: dict[str, NDArray[np.float64]], labels: NDArray[np.bool_], groups: NDArray[np.str_], names: NDArray[np.str_]
) -> dict[str, object]:
    """Return AUROC (the mean over groups, each against all AI images), false alarms and finds at the first budget."""
    aurocs, alarms = list[float](), dict[str, float]()
    for group in np.unique(groups[~labels]):
        others, judged = ~labels & (groups != group), ~labels & (groups == group)
        kept = {name: values[others] for name, values in scores.items()}
        joint = fit_joint(kept, np.zeros(others.sum()), groups[others].tolist())
        real, ai = (
            joint.p_real({name: values[these] for name, values in scores.items()}) for these in (judged, labels)
        )
        assert real is not None
        assert ai is not None
        aurocs.append(float(np.mean((ai[:, None] < real) + 0.5 * (ai[:, None] == real))))
        alarms[str(group)] = float(np.mean(real <= _BUDGETS[0]))
    whole = fit_joint(
        {name: values[~labels] for name, values in scores.items()}, np.zeros((~labels).sum()), groups[~labels].tolist()
    )
    p_values = whole.p_real({name: values[labels] for name, values in scores.items()})
    assert p_values is not None
    finds = {
        str(name): float(np.mean(p_values[names[labels] == name] <= _BUDGETS[0])) for name in np.unique(names[labels])
    }
    return {
        "auroc": round(float(np.mean(aurocs)), 4),
        "found": {"all": float(np.mean(p_values <= _BUDGETS[0])), **finds},
        "false alarms of a group by the others": alarms,
    }


def interval(real: NDArray[np.float64], ai: NDArray[np.float64]) -> list[float]:
    """Return the AUROC of AI images over real ones, and its 95% interval by 1,000 resamples of both."""
    rng = np.random.default_rng(0)

    def auroc(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(np.mean((other[:, None] > one) + 0.5 * (other[:, None] == one)))

    again = [auroc(rng.choice(real, len(real)), rng.choice(ai, len(ai))) for _ in range(1000)]
    return [round(value, 4) for value in (auroc(real, ai), *np.quantile(again, (0.025, 0.975)))]


def p_real(scores: NDArray[np.float64], calibration: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return conformal p-values (n,): the largest over the groups of real images (Vovk, Gammerman and Shafer 2005)."""
    each = [(1 + (kept[None] >= scores[:, None]).sum(1)) / (1 + len(kept)) for kept in calibration]
    return np.max(each, axis=0)


def ship_bundle(bundle: Path, card: Path, out: Path) -> None:
    """Write a bundle without its model, with the golden images of the one that comes with Pyrite, and a card."""
    loaded = load_bundle(bundle)
    scope = msgspec.structs.replace(loaded.info.scope, description=_SCOPE)
    info = msgspec.structs.replace(loaded.info, scope=scope)
    with tempfile.TemporaryDirectory() as folder:
        golden = record_golden(loaded, golden_images(load_bundle(DEFAULT), _GOLDEN))
        files = {**dict(contents(loaded.path)), "golden.json": golden, "card.md": card.read_bytes()}
        whole = save_bundle(Path(folder) / "whole", info, files)
        assert whole.path
        shutil.copytree(whole.path, out, ignore=shutil.ignore_patterns("model.onnx"))
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size:>9,}  {path.name}")


def contents(folder: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of a bundle but bundle.json."""
    assert folder
    yield from ((path.name, path.read_bytes()) for path in folder.iterdir() if path.name != "bundle.json")


if __name__ == "__main__":
    main()
