import gc
import io
import json
import threading
import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from pyrite.bundle import Bundle
from pyrite.bundle.calibration import Calibration
from pyrite.bundle.preprocess import Resize
from pyrite.detector import Detector
from pyrite.errors import BundleError, PyriteError
from pyrite.image import Limits
from pyrite.results import Model, Reason, Verdict
from waiting import eventually


@pytest.fixture(scope="module")
def detector(bundle):
    return Detector(bundle)


def grey(value, side=32):
    return np.full((side, side, 3), value, np.uint8)


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pyrite-decode")]


def test_a_detection_from_end_to_end(bundle, tmp_path):
    path = tmp_path / "bright.jpg"
    PillowImage.fromarray(grey(210, 40)).save(path, "PNG")
    found = Detector(bundle.path).detect(path)
    assert found.logit == pytest.approx(8.25, abs=1e-4)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-8.75)), abs=1e-6)
    assert found.p_real == pytest.approx(0.01)
    assert found.p_ai == pytest.approx(0.84)
    assert (found.verdict, found.reason) == (Verdict.AI, Reason.PIXELS)
    assert (found.path, found.format, found.width, found.height) == (str(path), "PNG", 40, 40)
    assert len(found.sha256) == 64
    assert found.model == Model("brightness", "1")
    assert (found.max_fpr, found.error) == (0.05, None)
    assert [(item.kind, item.strength, item.says) for item in found.evidence] == [("pixels", "inferred", "ai")]
    assert json.loads(msgspec.json.encode(found))["verdict"] == "ai"


@pytest.mark.parametrize(
    ("pixels", "verdict", "reason"),
    [
        (grey(255), Verdict.AI, Reason.PIXELS),
        (grey(0), Verdict.REAL, Reason.PIXELS),
        (grey(127), Verdict.REAL, Reason.PIXELS),
        (grey(255, 15), Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE),
        (grey(255, 65), Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE),
        (grey(255, 16), Verdict.AI, Reason.PIXELS),
    ],
)
def test_verdicts(detector, pixels, verdict, reason):
    found = detector.detect(pixels)
    assert (found.verdict, found.reason) == (verdict, reason)
    assert found.logit is not None


def test_a_budget_changes_verdicts_and_is_reported(bundle):
    pixels = grey(128)  # logit 0.05: p_real 0.01, p_ai 0.02
    assert Detector(bundle).detect(pixels).verdict == Verdict.AI
    found = Detector(bundle, max_fpr=0.01).detect(pixels)
    assert (found.verdict, found.max_fpr) == (Verdict.AI, 0.01)
    pixels = grey(118)  # logit -0.95: p_real 0.1, p_ai 0.01: more like real images, whatever the budget
    for max_fpr in (0.05, 0.2):
        found = Detector(bundle, max_fpr=max_fpr).detect(pixels)
        assert (found.verdict, found.reason, found.max_fpr) == (Verdict.REAL, Reason.PIXELS, max_fpr)


@pytest.mark.parametrize("max_fpr", [0, -1, 1, 2, float("nan")])
def test_a_budget_that_is_no_share_is_refused(bundle, max_fpr):
    with pytest.raises(PyriteError, match="max_fpr must be above 0 and below 1, not"):
        Detector(bundle, max_fpr=max_fpr)


def test_a_budget_that_cannot_be_kept_is_refused(bundle):
    told = r"0\.99% needs at least 101 real calibration images, and there are 99: .* Choose max_fpr of at least 0\.01\."
    with pytest.raises(PyriteError, match=told):
        Detector(bundle, max_fpr=0.0099)


def test_a_budget_of_the_bundle_that_cannot_be_kept_is_told_in_the_same_words(bundle):
    few = Calibration(real={"phone": tuple(range(18)), "scan": tuple(range(40))}, ai={"all": tuple(range(30))})
    changed = replace(bundle, info=msgspec.structs.replace(bundle.info, calibration=few))
    detector = Detector(changed)
    assert detector.warnings == (
        "brightness: An error budget of 5% needs at least 19 real calibration images in each group, and phone has 18: "
        "no image can be called AI by its pixels.",
    )
    assert detector.detect(grey(255)).verdict is Verdict.UNCERTAIN
    with pytest.raises(PyriteError) as refused:
        Detector(changed, max_fpr=0.05)
    assert str(refused.value).startswith(detector.warnings[0])
    assert Detector(changed, max_fpr=0.06).warnings == ()
    assert Detector(bundle).warnings == ()


def test_the_smallest_budget_that_is_named_works(bundle):
    assert Detector(bundle, max_fpr=0.01).detect(grey(255)).verdict == Verdict.AI


def test_a_name_can_be_given(detector):
    assert detector.detect(grey(0)).path is None
    assert detector.detect(grey(0), path="frame 7").path == "frame 7"


def test_an_unreadable_file_is_a_detection(detector, tmp_path):
    found = detector.detect(tmp_path / "missing.png")
    assert (found.verdict, found.reason) == (Verdict.UNCERTAIN, Reason.UNREADABLE)
    assert (found.error.code, found.path) == ("not_found", str(tmp_path / "missing.png"))
    assert found.logit is found.probability is found.p_real is found.p_ai is found.width is None


def test_limits_hold(bundle):
    assert Detector(bundle, limits=Limits(max_pixels=100)).detect(grey(0)).error.code == "too_many_pixels"


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_many_give_what_one_gives_in_order(detector, batch_size):
    sources = [grey(i) if i % 5 else b"no image" for i in range(100)]
    found = list(detector.detect_many(sources, batch_size=batch_size))
    assert [one.error is not None for one in found] == [i % 5 == 0 for i in range(100)]
    assert found == [detector.detect(source) for source in sources]


def test_nothing_gives_nothing(detector):
    assert list(detector.detect_many([])) == []
    assert [one.error.code for one in detector.detect_many([b""] * 3, batch_size=1)] == ["empty"] * 3


@pytest.mark.parametrize("sources", ["a.png", b"data"])
def test_one_image_for_many_is_refused_at_once(detector, sources):
    with pytest.raises(PyriteError, match="Use detect for one"):
        detector.detect_many(sources)


def test_batch_size_must_be_positive(detector):
    with pytest.raises(PyriteError, match="batch_size"):
        detector.detect_many([], batch_size=0)


def test_not_much_more_than_two_batches_are_read_ahead(detector):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield grey(read % 256)

    stream = detector.detect_many(endless(), batch_size=8)
    assert read == 0
    for done in range(200):
        assert next(stream).logit == pytest.approx(((done + 1) % 256 - 127.5) / 10, abs=1e-3)
        assert read - done <= 2 * 8 + 2
    stream.close()
    assert not workers()


def test_a_dropped_stream_ends_its_threads(detector):
    stream = detector.detect_many((grey(i % 256) for i in range(10_000)), batch_size=8)
    next(stream)
    assert workers()
    del stream
    gc.collect()
    assert not workers()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_of_the_sources_comes_through(detector, error):
    def sources():
        yield from (grey(i) for i in range(30))
        raise error

    stream = detector.detect_many(sources(), batch_size=4)
    assert [next(stream).logit is not None for _ in range(30)]  # What came before the error is not lost.
    with pytest.raises(error):
        next(stream)
    assert not workers()


def test_what_is_there_is_judged_before_more_comes(detector):
    more = threading.Event()

    def sources():
        yield from (grey(1), grey(2))
        assert eventually(more.is_set)
        yield grey(3)

    stream = detector.detect_many(sources())
    found = [next(stream), next(stream)]
    assert not more.is_set()
    more.set()
    assert [*found, *stream] == [detector.detect(grey(i)) for i in (1, 2, 3)]


def test_an_interrupt_while_waiting_comes_through(detector):
    import _thread

    once = threading.Lock()

    class Slow:
        def read(self, size):
            # Only now is the interrupt certain to reach a caller that waits: the first of these is read by a worker.
            if once.acquire(blocking=False):
                _thread.interrupt_main()
            time.sleep(0.05)
            return b""

    with pytest.raises(KeyboardInterrupt):
        list(detector.detect_many((Slow() for _ in range(1000)), batch_size=4))
    assert eventually(lambda: not workers())


def test_threads_can_share_a_detector(detector):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: detector.detect(grey(i)), range(64)))
    assert found == [detector.detect(grey(i)) for i in range(64)]


def test_a_model_of_another_size_is_refused(bundle):
    info = msgspec.structs.replace(bundle.info, preprocess=Resize(height=32, width=16))
    with pytest.raises(BundleError, match=r"\(32, 32\).*\(32, 16\)"):
        Detector(Bundle(info, bundle.files))


def test_a_model_that_is_no_onnx_is_refused(bundle):
    with pytest.raises(BundleError, match="ONNX"):
        Detector(Bundle(bundle.info, {"model.onnx": b"no model"}))


def png_with(text: dict[str, str], colour: str = "black", size: int = 32) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    stream = io.BytesIO()
    PillowImage.new("RGB", (size, size), colour).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


GENERATED = {"parameters": "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 32x32, Model: v1-5"}


def test_what_a_generator_wrote_decides_and_is_said_to_be_forgeable(bundle: Bundle) -> None:
    found = Detector(bundle).detect(png_with(GENERATED))
    assert (found.verdict, found.reason) == (Verdict.AI, Reason.ASSERTED)
    assert [item.kind for item in found.evidence] == ["generator", "pixels"]
    assert found.evidence[-1].says is Verdict.REAL
    assert found.explanation == found.evidence[0].detail
    assert "which anyone could have written." in found.explanation


def test_without_evidence_the_pixels_decide_alone(bundle: Bundle) -> None:
    found = Detector(bundle, evidence=False).detect(png_with(GENERATED))
    assert (found.verdict, found.reason) == (Verdict.REAL, Reason.PIXELS)
    assert [item.kind for item in found.evidence] == ["pixels"]


def test_an_image_out_of_scope_keeps_its_score_and_evidence(bundle: Bundle) -> None:
    found = Detector(bundle).detect(png_with({}, size=100))
    assert (found.verdict, found.reason) == (Verdict.UNCERTAIN, Reason.OUT_OF_SCOPE)
    assert found.logit is not None
    assert [(item.kind, item.says) for item in found.evidence] == [("pixels", None)]


def test_an_animation_is_judged_on_its_first_frame_and_says_so(bundle: Bundle) -> None:
    stream = io.BytesIO()
    frames = [PillowImage.new("RGB", (32, 32), colour) for colour in ("white", "black", "red")]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    found = Detector(bundle).detect(stream.getvalue())
    assert (found.verdict, found.frames) == (Verdict.AI, 3)
    assert [(item.kind, item.says, item.detail) for item in found.evidence[:-1]] == [
        ("frames", None, "Of its 3 frames, only number 1 was judged.")
    ]


@pytest.fixture(scope="module")
def careful(bundle):
    """Leaves real to provenance, and knows two generators."""
    policy = msgspec.structs.replace(bundle.info.policy, real_needs_provenance=True)
    return replace(bundle, info=msgspec.structs.replace(bundle.info, policy=policy, knows=("SD 1.4", "FLUX")))


def test_a_bundle_may_leave_real_to_provenance(bundle, careful):
    found = Detector(careful).detect(grey(0))
    assert (found.verdict, found.reason, found.evidence[-1].says) == (Verdict.UNCERTAIN, Reason.UNPROVEN, None)
    assert found.explanation.startswith("No trace of SD 1.4, FLUX, the generators known here: at most 10 in 1,000")
    assert found.probability is not None
    assert found.evidence[-1].data["knows"] == ["SD 1.4", "FLUX"]
    assert Detector(careful).detect(grey(255)).verdict is Verdict.AI
    allowed = Detector(careful, allow_real=True)
    assert allowed.detect(grey(0)).verdict is Verdict.REAL
    assert allowed.policy_for(0.02).real_needs_provenance is False
    assert Detector(careful).policy_for(0.02).real_needs_provenance is True
    # One careful bundle makes a panel so.
    assert Detector(bundles=(bundle, careful)).detect(grey(0)).reason is Reason.UNPROVEN
    assert Detector(bundles=(bundle, careful), allow_real=True).detect(grey(0)).verdict is Verdict.REAL
