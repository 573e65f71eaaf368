import pytest

from pyrite.results import Detection, Evidence, Model, Reason, Strength, Verdict


@pytest.fixture
def found() -> Detection:
    """A detection with every field filled but `error`."""
    return Detection(
        path="a b.jpg",
        sha256="0" * 64,
        format="JPEG",
        width=32,
        height=24,
        frames=1,
        verdict=Verdict.AI,
        probability=0.9731,
        logit=3.6,
        reason=Reason.PIXELS,
        explanation="The pixels look AI-generated.",
        p_real=0.002,
        p_ai=0.61,
        max_fpr=0.05,
        evidence=(Evidence("camera", Strength.ASSERTED, None, "It names a camera."),),
        model=Model("tiny", "1"),
    )
