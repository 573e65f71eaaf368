import msgspec

from pyrite.bundle import SourceBundle, load_bundle
from pyrite.publishing.card import write_card
from runs import Run


def test_it_names_all_that_training_started_from(unbroken: Run) -> None:
    info = load_bundle(unbroken.out / "bundle").info
    origins = [
        SourceBundle(name="first", version="1", sha256="a" * 64),
        SourceBundle(name="other", version="2", sha256="b" * 64),
    ]

    def card(count: int) -> list[str]:
        training = msgspec.structs.replace(info.training, started_from=tuple(origins[:count]) or None)
        written = write_card(msgspec.structs.replace(info, training=training), unbroken.report, None, None)
        assert "\n\n\n" not in written
        return [line for line in written.splitlines() if line.startswith(("- Training started", "- Licence"))]

    assert len(card(0)) == 1
    assert card(1)[1] == f"- Training started from the weights of the bundle first 1 (`{12 * 'a'}`)"
    both = f"first 1 (`{12 * 'a'}`) and other 2 (`{12 * 'b'}`)"
    assert card(2)[1] == f"- Training started from the mean of the weights of the bundles {both}"
