import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from painting import paint
from pyrite.bundle import Bundle, load_bundle, save_bundle
from pyrite.datasets import make_toy
from pyrite.decision import Scope
from pyrite.results import Detection
from waiting import eventually

Run = Callable[..., tuple[int, str, str]]
PYRITE = (sys.executable, "-c", "from pyrite.cli import main; main()")


@pytest.fixture
def run(run_pyrite: Run) -> Run:
    return run_pyrite


@pytest.fixture
def saved(bundle: Bundle) -> Path:
    """Where the small bundle lies."""
    assert bundle.path
    return bundle.path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a bright image, a dark one in a folder of its own, and a file that is none."""
    folder = tmp_path / "images"
    (folder / "inner").mkdir(parents=True)
    Image.new("RGB", (32, 32), "white").save(folder / "bright.png")
    Image.new("RGB", (32, 32), "black").save(folder / "inner" / "dark.png")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def test_detect_prints_a_line_per_image_and_a_summary(run: Run, saved: Path, images: Path) -> None:
    code, out, err = run("detect", images / "bright.png", images / "inner" / "dark.png", "--bundle", saved)
    assert code == 0
    bright, dark = out.splitlines()
    assert bright.startswith("ai ")
    assert bright.rstrip().endswith("bright.png")
    assert dark.startswith("real ")
    assert err.startswith("2 images: 1 ai, 1 real, 0 uncertain")


def test_detect_goes_on_after_a_bad_file_and_exits_with_1(run: Run, saved: Path, images: Path) -> None:
    code, out, err = run("detect", images / "gone.png", images / "bright.png", "--bundle", saved)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["error", "ai"]
    assert "There is no such file." in out
    assert "1 could not be read" in err


def test_detect_needs_recursive_for_a_folder(run: Run, saved: Path, images: Path) -> None:
    code, out, _ = run("detect", images, "--bundle", saved)
    assert code == 1
    assert "This is a folder" in out


def test_detect_recursively_leaves_out_nothing_but_hidden_files(run: Run, saved: Path, images: Path) -> None:
    code, out, _ = run("detect", "-r", images, "--bundle", saved, "--jsonl")
    assert code == 1
    found = [json.loads(line) for line in out.splitlines()]
    assert [Path(row["path"]).name for row in found] == ["bright.png", "notes.txt", "dark.png"]
    assert found[1]["error"]["code"] == "unsupported_format"


def test_json_is_one_array_whose_fields_are_the_detections(run: Run, saved: Path, images: Path) -> None:
    code, out, _ = run("detect", images / "bright.png", images / "notes.txt", "--bundle", saved, "--json")
    assert code == 1
    rows = json.loads(out)
    assert [set(row) for row in rows] == [set(Detection.__dataclass_fields__)] * 2
    assert rows[0]["verdict"] == "ai"
    assert rows[1]["verdict"] == "uncertain"


def test_json_of_nothing_is_an_empty_array(run: Run, saved: Path, tmp_path: Path) -> None:
    assert run("detect", "-r", tmp_path, "--bundle", saved, "--json")[:2] == (0, "[]\n")


def test_fail_on_ai_changes_the_exit_code(run: Run, saved: Path, images: Path) -> None:
    assert run("detect", images / "bright.png", "--bundle", saved, "--fail-on", "ai")[0] == 3
    assert run("detect", images / "inner" / "dark.png", "--bundle", saved, "--fail-on", "ai")[0] == 0


def test_a_path_cannot_command_the_terminal(run: Run, saved: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[31m[red]x\n.png"
    Image.new("RGB", (32, 32)).save(hostile)
    _, out, _ = run("detect", hostile, "--bundle", saved)
    assert len(out.splitlines()) == 1
    assert r"\x1b[31m[red]x\n.png" in out


def test_an_error_is_one_sentence(run: Run, images: Path, tmp_path: Path) -> None:
    code, out, err = run("detect", images / "bright.png", "--bundle", tmp_path / "nothing")
    assert (code, out) == (1, "")
    assert err.startswith("Error: There is no bundle at ")
    assert "Traceback" not in err


def test_wrong_usage_exits_with_2(run: Run, saved: Path, images: Path) -> None:
    assert run("detect", images, "--bundle", saved, "--json", "--jsonl")[0] == 2
    assert run("detect")[0] == 2
    assert run("train", images, "--recipe", "resnet5", "--out", images / "run")[0] == 2
    assert run("train", images, "--real", "a", "--ai", "a", "--out", images / "run")[0] == 2


def test_bundle_verify_replays_the_golden_images(run: Run, saved: Path) -> None:
    code, out, _ = run("bundle", "verify", saved)
    assert code == 0
    assert "8 golden images" in out


def test_bundle_verify_fails_where_the_model_says_something_else(run: Run, saved: Path, tmp_path: Path) -> None:
    bundle = load_bundle(saved)
    golden = json.loads(bundle.read("golden.json"))
    golden["vectors"][3]["logit"] += 0.5
    save_bundle(tmp_path / "b", bundle.info, {**bundle.files, "golden.json": json.dumps(golden).encode()})
    code, out, err = run("bundle", "verify", tmp_path / "b")
    assert code == 1
    assert "the largest difference in a logit is 0.5" in out
    assert "gives different results here" in err


def test_bundle_show_prints_the_card(run: Run, saved: Path) -> None:
    code, out, _ = run("bundle", "show", saved)
    assert (code, out.splitlines()[0]) == (0, "# Card")
    assert "At most 5% of real images are called `ai`, and at most 5% of AI images `real`, in each group." in out
    assert "| real, all | 99 | 1% | 0% |\n| AI, all | 99 | 1% | 1.01% |" in out


def test_toy_evaluate_and_its_files(run: Run, saved: Path, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 60)[0] == 0
    code, out, _ = run("evaluate", saved, tmp_path / "toy", "--out", tmp_path / "report")
    assert code == 0
    assert "Accuracy" in out
    assert "Floor: Not measured: it takes 20 different images of each class" in " ".join(out.split())
    assert {"report.html", "report.json", "figures"} <= {entry.name for entry in (tmp_path / "report").iterdir()}


def test_what_made_the_ai_images_can_be_said(run: Run, saved: Path, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 60)[0] == 0
    named = (tmp_path / "toy", "--generator", "A painter")
    code, _, err = run("evaluate", saved, *named, "--out", tmp_path / "report")
    assert (code, "Generators: A painter 30." in err) == (0, True)
    tables = json.loads((tmp_path / "report" / "report.json").read_bytes())["as_is"]["slices"]
    [table] = [table for table in tables if table["column"] == "generator"]
    assert {row["value"]: row["ai"] for row in table["rows"]}["A painter"] == 6


def test_robustness_is_told_in_a_few_lines(run: Run, saved: Path, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 60)[0] == 0
    code, out, err = run("evaluate", saved, tmp_path / "toy", "--out", tmp_path / "report", "--robustness")
    assert (code, len(err.splitlines())) == (0, 2)
    assert "Under 18 degradations, accuracy is 0." in out
    assert "Saved again (jpeg 90), the verdict changes for " in out
    assert json.loads((tmp_path / "report" / "report.json").read_bytes())["robustness"]["clean"]["name"] == "clean"


def test_audit_prints_what_to_do_or_json(run: Run, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 100)[0] == 0
    test = tmp_path / "toy" / "test" / "REAL"
    (test / "0000.png").write_bytes((tmp_path / "toy" / "train" / "REAL" / "0001.png").read_bytes())
    code, out, err = run("audit", tmp_path / "toy", "--out", tmp_path / "audit")
    told = "toy: 100 images, 50 real and 50 AI.\nSplits: train 40 real and 40 AI; test 10 real and 10 AI.\n"
    assert (code, err) == (0, told)
    assert "100 images, 50 real and 50 AI" in out
    assert "1. 1 of the 20 test images stands in an earlier split too, byte for byte" in out
    assert "All together" in out
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.html", "audit.json"}
    (test / "0001.png").write_bytes(b"no image")
    code, out, err = run("audit", tmp_path / "toy", "--json")
    told = told.replace("100", "101").replace("50 real", "51 real").replace("10 real", "11 real")
    assert (code, err) == (1, f"{told}One file could not be judged: test/REAL/0001.png.\n")
    found = json.loads(out)
    assert found["identical"]["pairs"] == 1
    assert found["unreadable"][0]["path"] == "test/REAL/0001.png"


def test_evaluate_with_class_folders_of_other_names(run: Run, saved: Path, images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, colour in (("left", "black"), ("right", "white")):
        (data / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), colour).save(data / name / "0.png")
    code, _, err = run("evaluate", saved, data, "--out", tmp_path / "report")
    assert code == 1
    assert "--real NAME and --ai NAME" in err
    code, out, _ = run("evaluate", saved, data, "--out", tmp_path / "report", "--real", "left", "--ai", "right")
    assert code == 0
    assert "2 images" in out


@pytest.mark.parametrize(
    ("flag", "rate", "value", "lack"),
    [
        ("--real", "FPR", 0, "There are no AI images, so there is no AUROC"),
        ("--ai", "TPR", 1, "There are no real images, so there is no AUROC"),
    ],
)
def test_evaluate_takes_images_of_one_class_alone(
    flag: str, rate: str, value: int, lack: str, run: Run, saved: Path, tmp_path: Path
) -> None:
    for number in range(30):
        paint(tmp_path / "photos" / "a" / f"{number}.png", 200 + number if value else 60 + number)
    code, _, err = run("evaluate", saved, tmp_path / "photos", "--out", tmp_path / "report")
    assert code == 1
    assert "--real '*' or --ai '*'" in err
    code, out, err = run("evaluate", saved, tmp_path / "photos", flag, "*", "--out", tmp_path / "report")
    assert code == 0
    assert f"photos: 30 images, {'0 real and 30' if value else '30 real and 0'} AI." in err
    # Wilson's interval: 30 of 30 shows no more than that the rate is above 0.8865.
    interval = "0.8865 to 1.0000" if value else "0.0000 to 0.1135"
    assert f"│ Verdict’s {rate} │ {value:.4f} │ {interval} │" in out
    assert lack in " ".join(out.split())
    assert "AUROC │" not in out
    headline = json.loads((tmp_path / "report" / "report.json").read_bytes())["as_is"]["headline"]
    assert (headline["auroc"], headline["fnr" if flag == "--real" else "fpr"]) == (None, None)
    assert lack in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_evaluate_takes_a_folder_of_real_images_without_a_flag(run: Run, saved: Path, tmp_path: Path) -> None:
    paint(tmp_path / "data" / "real" / "a.png", 20)
    code, out, err = run("evaluate", saved, tmp_path / "data", "--out", tmp_path / "report")
    assert code == 0
    assert "1 images, 1 real and 0 AI." in err
    assert "There are no AI images" in " ".join(out.split())
    code, out, _ = run("compare", saved, saved, tmp_path / "data", "--out", tmp_path / "comparison")
    assert code == 0
    assert " ".join(out.split()).count("There are no AI images, so there is no AUROC") == 1


def test_a_list_on_stdin_is_judged_in_order_and_paths_stay_as_given(saved: Path, images: Path) -> None:
    listed = f"{images}/./bright.png\n\n{images / 'inner' / 'dark.png'}\r\n{images / 'gone.png'}".encode()
    command = [*PYRITE, "detect", "--jsonl", "--bundle", str(saved)]
    paths = [str(images / "inner" / "dark.png"), "-", f"{images}/inner/../bright.png"]
    done = subprocess.run([*command, *paths], input=listed, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["real", "ai", "real", "uncertain", "ai"]
    assert [row["path"] for row in rows] == [
        paths[0], f"{images}/./bright.png", paths[0], str(images / "gone.png"), paths[2],
    ]  # fmt: skip


def test_a_line_on_stdin_is_answered_before_the_next_and_the_end_is_not_waited_for(saved: Path, images: Path) -> None:
    command = [*PYRITE, "detect", "-", "--jsonl", "--bundle"]
    with subprocess.Popen([*command, saved], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for verdict, name in (("ai", "bright.png"), ("real", "inner/dark.png")):
            process.stdin.write(f"{images / name}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["verdict"] == verdict
        process.send_signal(signal.SIGINT)
        assert eventually(lambda: process.poll() is not None)
        assert process.returncode == 130


def test_a_reader_that_has_had_enough_ends_it_quietly(saved: Path, images: Path, tmp_path: Path) -> None:
    command = [*PYRITE, "detect", "--jsonl", "--bundle", str(saved)]
    page = tmp_path / "page.html"
    many = [str(images / "bright.png")] * 3000
    with subprocess.Popen(
        [*command, "--html", str(page), *many], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert eventually(lambda: process.poll() is not None)
        assert process.returncode == 1
    assert "bright.png" in page.read_text()


def test_verbose_shows_the_evidence_under_each_image(run: Run, saved: Path, images: Path) -> None:
    _, out, _ = run("detect", images / "bright.png", "--bundle", saved, "-v")
    assert out.splitlines()[2].split()[:2] == ["inferred", "pixels:"]


def test_csv_and_a_page_can_be_had_at_once(run: Run, saved: Path, images: Path, tmp_path: Path) -> None:
    code, out, _ = run("detect", images / "bright.png", "--bundle", saved, "--csv", "--html", tmp_path / "page.html")
    assert code == 0
    assert out.splitlines()[0].startswith('"path","sha256",')
    assert "bright.png" in (tmp_path / "page.html").read_text()


def test_limits_can_be_set(run: Run, saved: Path, images: Path) -> None:
    code, out, _ = run("detect", images / "bright.png", "--bundle", saved, "--max-pixels", 100, "--jsonl")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "too_many_pixels"


def test_trust_anchors_must_be_there(run: Run, saved: Path, images: Path) -> None:
    code, _, err = run("detect", images / "bright.png", "--bundle", saved, "--trust-anchors", images / "no.pem")
    assert code == 1
    assert "no.pem is no trust list (c2pa, interim, none), and there is no such file." in err.replace("\n", " ")


def test_trust_lists_are_shown(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYRITE_TRUST", str(tmp_path))
    code, out, _ = run("trust", "show")
    assert code == 0
    assert "c2pa: C2PA trust list, 30 certificates, for signers" in out
    assert "issued 2026-08-05, next update due 2027-08-05" in out
    assert "c2pa-tsa: C2PA list of time-stamp authorities, 22 certificates, for times" in out
    assert run("trust", "show", "--trust", "none")[1] == "No trust list: no signature counts as verified.\n"
    code, out, _ = run("trust", "show", "--trust", "interim", "--json")
    assert [(item["name"], item["certificates"]) for item in json.loads(out)] == [("interim", 104)]


def test_a_newer_trust_list_is_brought_and_an_overdue_one_is_told(
    run: Run, saved: Path, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pyrite.evidence import Trust

    monkeypatch.setenv("PYRITE_TRUST", str(tmp_path / "kept"))
    included = Trust.default().lists[0]
    (tmp_path / "list.pem").write_text(included.anchors)

    def issue(day: str, due: str) -> None:
        scheme = {"ListIssueDateTime": f"{day}T00:00:00Z", "NextUpdate": f"{due}T00:00:00Z"}
        (tmp_path / "list.json").write_text(json.dumps({"LoTE": {"ListAndSchemeInformation": scheme}}))

    issue(included.issued, included.issued)
    code, out, _ = run("trust", "update", "c2pa", "--from", tmp_path / "list.pem")
    assert code == 0
    assert out.startswith(f"c2pa: 30 certificates, issued {included.issued}, kept in ")
    code, _, err = run("detect", images / "bright.png", "--bundle", saved)
    assert code == 0
    due = f"A newer C2PA trust list has been due since {included.issued}. Update it with: pyrite trust update"
    assert due in err
    # What an upgrade of Pyrite leaves behind is not used any more, and what is older is not brought.
    kept = tmp_path / "kept" / "c2pa.toml"
    kept.write_text(kept.read_text().replace(f'issued = "{included.issued}"', 'issued = "2024-01-02"'))
    assert f"issued {included.issued}" in run("trust", "show")[1]
    issue("2024-01-02", "2099-01-02")
    code, _, err = run("trust", "update", "c2pa", "--from", tmp_path / "list.pem")
    assert (code, "was issued on 2024-01-02, before the list that comes with Pyrite" in " ".join(err.split())) == (
        1,
        True,
    )
    assert run("trust", "update", "--from", tmp_path / "list.pem")[0] == 2
    code, _, err = run("trust", "update", "c2pa", "--from", tmp_path / "list.json")
    assert code == 1
    assert "must be certificates in PEM form, and has none" in err.replace("\n", " ")


def test_a_file_without_provenance_is_told_as_that(run: Run, saved: Path, images: Path) -> None:
    _, out, _ = run("detect", images / "bright.png", "--bundle", saved, "-v")
    assert "No provenance found. That proves nothing: most services remove it." in out


def test_a_path_that_no_file_can_have_is_a_result(run: Run, saved: Path, images: Path) -> None:
    code, out, _ = run("detect", "-r", images / "bright.png", "x" * 5000, "--bundle", saved, "--jsonl")
    assert code == 1
    assert [(row["error"] or {}).get("code") for row in map(json.loads, out.splitlines())] == [None, "unreadable"]


def test_unreadable_test_images_are_told_and_make_the_exit_code_1(run: Run, saved: Path, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 60)[0] == 0
    (tmp_path / "toy" / "test" / "REAL" / "0000.png").write_bytes(b"no image")
    code, _, err = run("evaluate", saved, tmp_path / "toy", "--out", tmp_path / "report")
    assert code == 1
    assert err.endswith("One file could not be judged: test/REAL/0000.png; see the report.\n")


def test_a_report_is_not_written_where_it_does_harm(run: Run, saved: Path, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 60)[0] == 0
    (tmp_path / "file").touch()
    for out, words in (
        (tmp_path / "file", "cannot hold a report"),
        (saved, "is a bundle, which a report would damage"),
    ):
        code, _, err = run("evaluate", saved, tmp_path / "toy", "--out", out)
        assert code == 1
        assert words in err
    assert load_bundle(saved)


def test_a_toy_that_cannot_be_written_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("toy", tmp_path / "file")
    assert code == 1
    assert err.startswith("Error: ")
    assert "cannot be written" in err


def test_the_version_is_told(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out) == (0, f"pyrite {version('pyrite')}\n")


def test_two_classes_need_two_names(run: Run, images: Path) -> None:
    code, _, err = run("train", images, "--out", images / "run", "--real", "a", "--ai", "a")
    assert code == 2
    assert "--real and --ai must not both be a." in err


@pytest.mark.parametrize(
    "command",
    ["train", "evaluate", "compare", "audit", "bundle quantize", "bundle renew", "bundle calibrate"],
)
def test_what_opens_a_dataset_takes_names_of_classes_and_columns(command: str, run: Run) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    flags = ("--real", "--ai", "--image-column", "--label-column", "--split-column", "--group-column", "--generator")
    assert [flag for flag in flags if flag not in out] == []


def test_a_page_or_report_is_not_written_over_an_image(run: Run, saved: Path, images: Path) -> None:
    before = {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    for options in (("--html", *images.glob("*.png")), ("--report", images / "bright.png", images / "dark.png")):
        code, _, err = run("detect", "--bundle", saved, *options)
        assert (code, "is an image, which would be overwritten" in " ".join(err.replace("│", " ").split())) == (2, True)
    code, _, err = run("detect", images / "bright.png", "--html", "x.html", "--report", "x.html")
    assert (code, "need different files" in " ".join(err.split())) == (2, True)
    assert {path: path.read_bytes() for path in images.rglob("*") if path.is_file()} == before


def test_the_current_folder_is_no_place_for_a_page(run: Run, saved: Path, images: Path) -> None:
    code, _, err = run("detect", images / "bright.png", "--bundle", saved, "--html", ".")
    assert (code, "Is a directory" in err) == (1, True)


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict", "latin-1"])
def test_what_the_terminals_encoding_does_not_have_is_escaped(encoding: str, saved: Path, images: Path) -> None:
    name = os.fsdecode("日本\N{OBSERVER EYE SYMBOL}".encode() + b"\xff.png")
    (images / name).write_bytes((images / "bright.png").read_bytes())
    command = [*PYRITE, "detect", "--bundle", str(saved), str(images / name)]
    for options in ([], ["--jsonl"], ["-v"]):
        done = subprocess.run(
            [*command, *options], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
        assert b"ai" in done.stdout
        if "--jsonl" in options:
            assert json.loads(done.stdout)["verdict"] == "ai"


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux bounds the memory of what reads images.")
@pytest.mark.parametrize("options", [[], ["--max-pixels", str(10**18)]])
def test_a_limit_of_the_shell_blames_no_image(options: list[str], saved: Path, images: Path) -> None:
    command = [*PYRITE, "detect", "--bundle", str(saved), str(images / "bright.png"), *options]
    limited = f"ulimit -v 5000000; exec {shlex.join(command)}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert (done.returncode, "ai " in done.stdout) == (0, True), done.stdout + done.stderr


def test_options_that_would_do_nothing_are_refused(run: Run, saved: Path, images: Path, tmp_path: Path) -> None:
    local = ("scan", images, "--out", tmp_path / "out", "--engine", "local")
    one = ("bundle", "calibrate", saved, images, "--real-only", "--out", tmp_path / "out")
    for command in ((*local, "--workers", 2), (*local, "--address", "x:1"), (*one, "--halves"),
                    (*one, "--merge", "bonferroni")):  # fmt: skip
        code, _, err = run(*command)
        assert (code, " are for " in " ".join(err.replace("│", " ").split())) == (2, True), err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    ["detect a.png", "evaluate default a --out b", "compare default photos a --out b", "scan a --out b", "serve",
     "page --out b", "scores judge a.csv --panel p.json --out b", "scores evaluate a.csv --panel p.json"],
)  # fmt: skip
def test_an_error_budget_that_is_no_share_is_wrong_usage(command: str, run: Run) -> None:
    for wrong in ("0", "1", "-0.1", "nan"):
        code, _, err = run(*command.split(), "--max-fpr", wrong)
        assert (code, "must be above 0 and below 1" in " ".join(err.replace("│", " ").split())) == (2, True)


def test_images_that_are_all_real_have_no_names_of_classes(run: Run, saved: Path, images: Path, tmp_path: Path) -> None:
    for flag in ("--real", "--label-column", "--generator"):
        options = ("--real-only", flag, "x", "--out", tmp_path / "out")
        code, _, err = run("bundle", "calibrate", saved, images, *options)
        assert (code, "With --real-only all images are real" in err) == (2, True)


@pytest.mark.parametrize("name", ["[bold]", "[", ":cat:"])
def test_a_name_that_looks_like_markup_is_printed_as_it_is(name: str, run: Run, saved: Path, tmp_path: Path) -> None:
    code, out, _ = run("bundle", "examples", saved, "--out", tmp_path / name)
    assert (code, out) == (0, f"8 images in {tmp_path / name}\n")


@pytest.fixture
def other(bundle: Bundle, tmp_path: Path) -> Path:
    """A second bundle, of another name, that was made for larger images too."""
    scope = msgspec.structs.replace(bundle.info.scope, max_side=128)
    info = msgspec.structs.replace(bundle.info, name="wide", scope=scope)
    save_bundle(tmp_path / "wide", info, bundle.files)
    return tmp_path / "wide"


def test_several_bundles_each_say_what_they_think(run: Run, saved: Path, other: Path, images: Path) -> None:
    Image.new("RGB", (100, 100), "white").save(images / "large.png")
    both = ("--bundle", saved, "--bundle", other)
    code, out, err = run("detect", images / "bright.png", images / "large.png", *both, "-v", "--no-evidence")
    assert code == 0
    first, _, one, two, second, _, outside, three = out.splitlines()
    assert first.startswith("ai ")
    assert one.split() == two.replace("(wide)", "(brightness)").split()
    assert one.split()[:3] == ["inferred", "pixels", "(brightness):"]
    assert second.startswith("ai ")
    assert "pixels (brightness): The model was made for images of 16 to 64 pixels a side" in outside
    assert "pixels (wide): The pixels look AI-generated" in three
    assert "2 images: 2 ai" in err
    found = json.loads(run("detect", images / "bright.png", *both, "--json")[1])
    assert found[0]["model"] == {"name": "brightness+wide", "version": "1+1"}
    assert [item["data"]["bundle"] for item in found[0]["evidence"]] == ["brightness", "wide"]
    assert (found[0]["p_real"], found[0]["probability"]) == (0.02, None)  # Twice 0.01, the smallest.


def test_the_same_bundle_twice_leaves_half_the_budget_for_each(
    run: Run, saved: Path, other: Path, images: Path
) -> None:
    code, _, err = run("detect", images / "bright.png", "--bundle", saved, "--bundle", other, "--max-fpr", "0.01")
    assert code == 1
    assert "An error budget of 1% needs at least 199 real calibration images, and there are 99" in err
    assert "Choose max_fpr of at least 0.02." in err


def test_explain_with_several_bundles_takes_the_first_in_scope(
    run: Run, saved: Path, other: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (100, 100), "white").save(tmp_path / "large.png")
    code, out, _ = run(
        "explain", tmp_path / "large.png", "--out", tmp_path / "why.png", "--json", "--bundle", saved, "--bundle", other
    )
    assert code == 0
    assert json.loads(out)["model"]["name"] == "wide"
    assert (tmp_path / "why.png").exists()


def test_evaluate_takes_more_bundles(run: Run, saved: Path, other: Path, tmp_path: Path) -> None:
    assert run("toy", tmp_path / "toy", "--count", 60)[0] == 0
    code, out, _ = run("evaluate", saved, tmp_path / "toy", "--bundle", other, "--out", tmp_path / "report")
    assert code == 0
    said = " ".join(out.split())
    assert "brightness+wide on" in said
    assert "AUROC" in out
    assert "Several bundles have no probability in common" in said
    assert "ECE" not in "".join(line for line in out.splitlines() if line.startswith("│"))


def test_scan_takes_several_bundles(run: Run, saved: Path, other: Path, images: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="The extra scale is not installed: there is no fsspec.")
    code, out, _ = run(
        "scan", images / "inner", "--out", tmp_path / "out", "--engine", "local", "--bundle", saved, "--bundle", other
    )
    assert code == 0
    assert "1 images: 0 ai, 1 real" in out
    assert "The error rates of several bundles together are not known." in out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert (manifest["bundle"], manifest["bundle_version"]) == ("brightness+wide", "1+1")


@pytest.fixture
def careful(bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that leaves real to provenance."""
    policy = msgspec.structs.replace(bundle.info.policy, real_needs_provenance=True)
    info = msgspec.structs.replace(bundle.info, policy=policy, knows=("SD 1.4",))
    save_bundle(tmp_path / "careful", info, bundle.files)
    return tmp_path / "careful"


def test_real_from_pixels_alone_is_withheld_unless_it_is_allowed(run: Run, careful: Path, images: Path) -> None:
    dark = ("detect", images / "inner" / "dark.png", "--bundle", careful)
    _, out, _ = run(*dark)
    assert out.startswith("uncertain ")
    assert "No trace of SD 1.4, the only generator known here" in out
    assert run(*dark, "--allow-real")[1].startswith("real ")


def test_scan_withholds_real_unless_it_is_allowed(run: Run, careful: Path, images: Path, tmp_path: Path) -> None:
    counts = {}
    for name, flags in (("withheld", ()), ("allowed", ("--allow-real",))):
        out = tmp_path / name
        run("scan", images, "--out", out, "--bundle", careful, "--engine", "local", *flags)
        counts[name] = json.loads((out / "summary.json").read_text())["total"]["real"]
    assert counts == {"withheld": 0, "allowed": 1}


def test_evaluate_shows_both_readings(run: Run, careful: Path, tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", count=40)
    _, out, _ = run("evaluate", careful, tmp_path / "toy", "--out", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    real, ai = report["withheld"]
    assert report["reasons"].get("unproven", 0) == real + ai > 0
    assert f"With --allow-real, {real} real and {ai} AI images that are uncertain now would be called real." in out
    assert "With <code>--allow-real</code>, " in (tmp_path / "report" / "report.html").read_text()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """60 real images and 60 AI ones, brighter, in two groups each, one of them twice; and a file that is no image."""
    rows = ["path,label,source"]
    for number in range(120):
        label = ("real", "ai")[number % 2]
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        brightness = number + (100 if label == "ai" else 0)
        Image.new("RGB", (32, 32), (brightness, brightness, max(0, brightness - 5))).save(path)
        rows.append(f"{path.name},{label},{'xy'[number // 2 % 2]}")
    (tmp_path / "photos" / "copy.png").write_bytes((tmp_path / "photos" / "0.png").read_bytes())
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    rows += ["copy.png,real,x", "broken.png,real,x"]
    (tmp_path / "photos" / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "photos"


def test_a_panel_is_calibrated_and_used_like_a_bundle(
    run: Run, saved: Path, other: Path, photos: Path, images: Path, tmp_path: Path
) -> None:
    panel = tmp_path / "panel.json"
    code, out, err = run("bundle", "calibrate", saved, other, photos, "--group-column", "source", "--out", panel)
    assert code == 1  # As everywhere where a file cannot be read.
    assert "broken.png" in err
    assert "Copies of other images left out: 1" in out
    assert "2 detectors: brightness, wide" in out
    assert "real, x: 30 images" in out
    assert "5% needs at least 39 real calibration images in each group, and x has 30, y has 30" in err
    # The two agree, so the brightest photo is level with any brighter image: two of 31.
    assert "Smallest error budget it can keep: 6.45%" in out
    both = ("--bundle", panel)
    [found] = json.loads(run("detect", images / "bright.png", *both, "--json")[1])
    assert found["model"]["name"] == "brightness+wide"
    assert found["p_real"] == pytest.approx(2 / 31)
    assert found["probability"] is None
    assert run("detect", images / "bright.png", *both, "--max-fpr", "0.06")[0] == 1
    Image.new("RGB", (100, 100), "white").save(tmp_path / "large.png")
    code, out, _ = run("explain", tmp_path / "large.png", "--out", tmp_path / "why.png", "--json", *both)
    assert (code, json.loads(out)["model"]["name"]) == (0, "wide")
    code, out, err = run("evaluate", panel, photos, "--out", tmp_path / "report")
    assert code == 1
    assert "brightness+wide on 121 images of photos" in " ".join(out.split())
    assert "These images calibrated the panel, so the figures are inflated." in " ".join(out.split())


def test_a_panel_is_told_what_its_own_budget_needs(run: Run, saved: Path, photos: Path, tmp_path: Path) -> None:
    bundle = load_bundle(saved)
    policy = msgspec.structs.replace(bundle.info.policy, max_fpr=0.01)
    save_bundle(tmp_path / "strict", msgspec.structs.replace(bundle.info, name="strict", policy=policy), bundle.files)
    err = run("bundle", "calibrate", saved, tmp_path / "strict", photos, "--out", tmp_path / "panel.json")[2]
    assert "error budget of 1% needs at least 199 real" in err


def test_scan_takes_a_panel_and_goes_on_with_no_other(
    run: Run, saved: Path, other: Path, photos: Path, images: Path, tmp_path: Path
) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="The extra scale is not installed: there is no pyarrow.")
    panel, out = tmp_path / "panel.json", tmp_path / "out"
    run("bundle", "calibrate", saved, other, photos, "--out", panel)
    [expected] = json.loads(run("detect", images / "bright.png", "--bundle", panel, "--json")[1])
    scan = ("scan", images / "bright.png", "--out", out, "--engine", "local", "--bundle", panel)
    code, said, _ = run(*scan)
    assert (code, "1 images: 1 ai" in said) == (0, True)
    [row] = pq.read_table(out / "detections").to_pylist()
    assert row["p_real"] == expected["p_real"]
    run("bundle", "calibrate", saved, other, photos, "--out", panel, "--halves")
    code, _, err = run(*scan)
    assert (code, "holds a scan with another bundle" in err) == (1, True)


def test_a_panel_that_cannot_be_is_one_sentence(
    run: Run, saved: Path, other: Path, photos: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "panel.json")
    for arguments, sentence in (
        ((saved, saved, photos, *out), "Two bundles are named brightness."),
        ((saved, other, photos, "--out", tmp_path / "panel"), "A panel is kept in a .json file"),
        ((saved, other, photos, "--group-column", "camera", *out), "has no column 'camera' for groups; it has source."),
        ((saved, other, photos, "--out", tmp_path / "no" / "panel.json"), "cannot be written"),
    ):
        code, _, err = run("bundle", "calibrate", *arguments)
        assert (code, sentence in err) == (1, True), err
    assert not (tmp_path / "panel.json").exists()
    assert run("bundle", "calibrate", photos, *out)[0] == 2


def test_images_of_other_sizes_are_told_of_with_where_to_find_bundles_for_them(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    code, _, error = run("detect", tmp_path / "large.png", "--bundle", saved)
    assert (code, "bundle in use supports: 1. Other bundles: pyrite bundle catalogue" in error) == (0, True)


def test_photographs_are_judged_by_the_bundle_for_them_once_it_was_imported(
    run: Run, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "data"))
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    code, said, error = run("detect", tmp_path / "large.png", "--json")
    assert (code, json.loads(said)[0]["reason"]) == (0, "out_of_scope")
    assert "bundle in use supports: 1. For photographs: pyrite bundle import photos" in error
    bundle = load_bundle(saved)
    scope = Scope(min_side=200, max_side=None, description="photographs")
    info = msgspec.structs.replace(bundle.info, name="photos", scope=scope)
    save_bundle(tmp_path / "data" / "bundles" / "photos", info, bundle.files)
    code, said, error = run("detect", tmp_path / "large.png", "--json")
    assert (code, json.loads(said)[0]["model"]["name"]) == (0, "default+photos")
    assert json.loads(said)[0]["logit"] is not None
    assert "bundle in use supports" not in error
