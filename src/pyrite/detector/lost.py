"""What is said of an image when the process that decoded it was lost."""

from pyrite.results import Failure


def timed_out(seconds: float) -> Failure:
    """Return the failure of an image that had so many seconds, after which its process was killed."""
    return Failure("timed_out", f"Decoding this image took more than {seconds:g} seconds, which is the limit.")


def crashed(how: str = "") -> Failure:
    """Return the failure of an image that ended its process, `how` being the signal or exit code if that is known."""
    return Failure("crashed", f"This image crashed the decoder{how and f' ({how})'}. It may be damaged or malicious.")
