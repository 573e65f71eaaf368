"""Makes the file beside it, once: signed in the last seconds of its certificate, which nobody can do afterwards.

PYTHONPATH=src:tests/evidence python tests/evidence/credentials/make.py
"""

import io
from pathlib import Path

from authority import make_authority, sign
from PIL import Image

HERE = Path(__file__).parent
SECONDS = 20


def main() -> None:
    """Write the signed file, and the authority that vouched for its signer."""
    authority = make_authority("Late Signer", days=(-1, SECONDS / 86_400))
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(stream, "JPEG")
    (HERE / "expired.jpg").write_bytes(sign(stream.getvalue(), source_type="trainedAlgorithmicMedia", signer=authority))
    (HERE / "expired.pem").write_bytes(authority[0])


if __name__ == "__main__":
    main()
