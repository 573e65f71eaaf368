"""`pyrite explain`."""

from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import BundlesOrDefaultsOption, Device, DeviceOption, stderr, stdout, tell_lines
from pyrite.errors import PyriteError


def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image to explain.")],
    out: Annotated[Path, typer.Option(metavar="PNG", help="Output file for the picture; must end with .png.")],
    bundles: BundlesOrDefaultsOption = None,
    device: DeviceOption = Device.AUTO,
    history: Annotated[
        bool,
        typer.Option(
            "--history",
            help="Also show the image's own history: error levels, noise, JPEG ghosts, its thumbnail and its tables.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Show what moved an image's score, and whether to trust that explanation.

    The picture has a map of the parts that speak for ai and for real, and the image's spectrum beside the average
    spectrum of each class. If the map does no better than random ones, the picture says so instead. With several
    bundles, Pyrite explains the first that supports such an image.

    `--history` adds what the file and its pixels show of earlier saves and edits, and what they cannot show. This is
    context, never a verdict. It works for any image, even one that no bundle supports.

    Examples: `pyrite explain photo.jpg --out photo-explained.png`,
    `pyrite explain photo.jpg --history --out photo-history.png`
    """
    from pyrite.bundle import default_bundles
    from pyrite.detector import ConfinedReader, Detector
    from pyrite.explanation import check_out, examine
    from pyrite.explanation import explain as explain_score
    from pyrite.golden import check_device
    from pyrite.rendering.progress import progress_bar
    from pyrite.rendering.text import detection_line

    try:
        check_out(out, image)
    except PyriteError as error:
        raise typer.BadParameter(str(error)) from None
    # Its process starts while the models are loaded.
    with ConfinedReader() as confined, progress_bar(stderr, "Scoring") as advance:
        detector = Detector(bundles=bundles or default_bundles(), device=device.value, confined=confined)
        check_device(detector)
        tell_lines(detector.warnings)
        run = examine if history else explain_score
        found = run(image, detector, out=out, progress=advance)
    if as_json:
        print(found.to_json().decode(), end="")
        return
    stdout.print(detection_line(found.detection))
    for line in (*found.describe(), f"Picture: {out}"):
        stdout.print(line)
