"""Makes the files beside it, once: signed in the last seconds of a certificate, which nobody can do afterwards.

One has a time stamp, by an authority of its own that answers on this machine, and one has none. It needs asn1crypto.

PYTHONPATH=src:tests python tests/evidence/credentials/make.py
"""

import datetime
import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from authority import TIME_STAMPING, make_authority, sign

HERE = Path(__file__).parent
SECONDS = 20


def main() -> None:
    """Write the signed files, and the authorities that vouched for their signer and for the time."""
    authority = make_authority("Late Signer", days=(-1, SECONDS / 86_400))
    times = make_authority("Clock", days=(-30, 900), usage=TIME_STAMPING)
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(stream, "JPEG")
    server = HTTPServer(("127.0.0.1", 0), _answers(times))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, address in (("expired", None), ("stamped", f"http://127.0.0.1:{server.server_port}")):
        signed = sign(
            stream.getvalue(), source_type="trainedAlgorithmicMedia", signer=authority, time_authority=address
        )
        (HERE / f"{name}.jpg").write_bytes(signed)
    server.shutdown()
    (HERE / "expired.pem").write_bytes(authority[0])
    (HERE / "clock.pem").write_bytes(times[0])


def _answers(times: tuple[bytes, bytes, bytes]) -> type[BaseHTTPRequestHandler]:
    class Clock(BaseHTTPRequestHandler):
        """Stamps what it is sent with the time of now (RFC 3161)."""

        def do_POST(self) -> None:
            request = tsp.TimeStampReq.load(self.rfile.read(int(self.headers["Content-Length"])))
            answer = _stamp(request, times)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Clock


def _stamp(request: tsp.TimeStampReq, times: tuple[bytes, bytes, bytes]) -> bytes:
    chain = [x509.Certificate.load(_der(pem)) for pem in (times[1], times[0])]
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    content = {
        "version": "v1",
        "policy": "1.3.6.1.4.1.99999.1",
        "message_imprint": request["message_imprint"],
        "serial_number": 1,
        "gen_time": now,
    }
    if request["nonce"].native is not None:
        content["nonce"] = request["nonce"]
    info = tsp.TSTInfo(content)
    digest = hashlib.sha256(info.dump()).digest()
    name = hashlib.sha256(chain[0].dump()).digest()
    signed = cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "signing_time", "values": [cms.Time({"utc_time": now})]},
            {"type": "message_digest", "values": [digest]},
            {"type": "signing_certificate_v2", "values": [{"certs": [{"cert_hash": name}]}]},
        ]
    )
    key = serialization.load_pem_private_key(times[2], None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": {"issuer_and_serial_number": {"issuer": chain[0].issuer, "serial_number": chain[0].serial_number}},
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": signed,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": key.sign(signed.dump(), ec.ECDSA(hashes.SHA256())),
        }
    )
    token = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [algos.DigestAlgorithm({"algorithm": "sha256"})],
            "encap_content_info": {
                "content_type": "tst_info",
                "content": core.ParsableOctetString(info.dump()),
            },
            "certificates": chain,
            "signer_infos": [signer],
        }
    )
    answer = {
        "status": {"status": "granted"},
        "time_stamp_token": {"content_type": "signed_data", "content": token},
    }
    return bytes(tsp.TimeStampResp(answer).dump())


def _der(pem: bytes) -> bytes:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


if __name__ == "__main__":
    main()
