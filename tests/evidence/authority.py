"""A certificate authority for tests, and files with content credentials that it stands behind."""

import datetime
import functools
import io
import json
from typing import Any

import numpy as np
from PIL import Image as PillowImage

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
OFFLINE = {"builder": {"thumbnail": {"enabled": False}}}


@functools.cache
def make_authority(name: str) -> tuple[bytes, bytes, bytes]:
    """Return the PEM of a root certificate, of a signer's that it vouches for, and of the signer's key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def subject(common: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )

    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    certificates = []
    for common, key, ca in (("Root", keys[0], True), ("Signer", keys[1], False)):
        usage = x509.KeyUsage(
            digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(common))
            .issuer_name(subject("Root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not ca:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificates[0], certificates[1], secret


def encode(name: str = "JPEG", **options: Any) -> bytes:
    """Return a small image file without credentials."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, name, **options)
    return stream.getvalue()


def sign(
    data: bytes,
    *,
    mime: str = "image/jpeg",
    source_type: str | None = None,
    action: str = "c2pa.created",
    created: bool = True,
    ingredients: tuple[tuple[str, bytes], ...] = (),
    authority: str = "Test Authority",
    remote_url: str | None = None,
    claim_version: int = 2,
) -> bytes:
    """Return the file with credentials.

    Args:
        data: The file.
        mime: Its type.
        source_type: The last part of the digital source type's address, for `action`.
        action: What the manifest says was done.
        created: Whether the signer stands behind that.
        ingredients: Relationship and file of each.
        authority: The name of the one who signs.
        remote_url: Where the manifest is instead of in the file.
        claim_version: Of the C2PA claim, 1 or 2.
    """
    import c2pa

    _, certificate, secret = make_authority(authority)
    act: dict[str, Any] = {"action": action}
    if source_type is not None:
        act["digitalSourceType"] = SOURCE_TYPES + source_type
    if action != "c2pa.created":
        act["parameters"] = {"ingredientIds": [f"part{i}" for i in range(len(ingredients))]}
    manifest = {
        "claim_version": claim_version,
        "claim_generator_info": [{"name": "pyrite tests", "version": "1"}],
        "title": "image",
        "assertions": [
            {"label": "c2pa.actions.v2", "created": created, "data": {"actions": [act]}},
        ],
    }
    info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=certificate, private_key=secret, ta_url=None)
    out = io.BytesIO()
    with (
        c2pa.Context.from_dict(OFFLINE) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(json.dumps(manifest), context=context) as builder,
    ):
        if remote_url is not None:
            builder.set_no_embed()
            builder.set_remote_url(remote_url)
        for i, (relationship, ingredient) in enumerate(ingredients):
            described = {"title": relationship, "relationship": relationship, "label": f"part{i}"}
            builder.add_ingredient(json.dumps(described), mime, io.BytesIO(ingredient))
        builder.sign(signer, mime, io.BytesIO(data), out)
    return out.getvalue()
