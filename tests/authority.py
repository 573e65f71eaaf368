"""A certificate authority for tests, and files with content credentials that it stands behind."""

import datetime
import functools
import io
import ipaddress
import json
from typing import Any

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
OFFLINE = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}


@functools.cache
def make_authority(
    name: str, *, days: tuple[float, float] = (-1, 30), usage: str = "", address: str = ""
) -> tuple[bytes, bytes, bytes]:
    """Return the PEM of a root certificate, of a signer's that it vouches for, and of the signer's key.

    Args:
        name: Of the organisation.
        days: From now, since when and until when the signer's certificate is valid.
        usage: The signer's extended key usage, as an object identifier; by default, e-mail protection.
        address: Of the machine that the certificate is for, where it is a server's.
    """
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
        key_usage = x509.KeyUsage(
            digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(common))
            .issuer_name(subject("Root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=-1000 if ca else days[0]))
            .not_valid_after(now + datetime.timedelta(days=1000 if ca else days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not ca:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage(
                    [x509.ObjectIdentifier(usage) if usage else ExtendedKeyUsageOID.EMAIL_PROTECTION]
                ),
                critical=usage == TIME_STAMPING,
            )
        if address and not ca:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificates[0], certificates[1], secret


def sign(
    data: bytes,
    *,
    mime: str = "image/jpeg",
    source_type: str | None = None,
    action: str = "c2pa.created",
    created: bool = True,
    more: tuple[tuple[str, str | None], ...] = (),
    templates: tuple[tuple[str, str], ...] = (),
    complete: bool | None = None,
    metadata: str | None = None,
    ingredients: tuple[tuple[str, bytes], ...] = (),
    authority: str = "Test Authority",
    remote_url: str | None = None,
    claim_version: int = 2,
    listed: list[dict[str, Any]] | None = None,
    assertions: tuple[tuple[str, dict[str, Any]], ...] = (),
    signer: tuple[bytes, bytes, bytes] | None = None,
    program: str = "pyrite tests",
    usages: str = "",
    time_authority: str | None = None,
    label: str | None = None,
) -> bytes:
    """Return the file with credentials.

    Args:
        data: The file.
        mime: Its type.
        source_type: The last part of the digital source type's address, for `action`.
        action: What the manifest says was done.
        created: Whether the signer stands behind that.
        more: What was done after `action`, and the last part of the digital source type of each.
        templates: Actions and the last part of the digital source type that all of the kind have in common.
        complete: Whether the manifest says that it lists all that was done; `None` if it does not say.
        metadata: The last part of the digital source type in a metadata assertion.
        ingredients: Relationship and file of each.
        authority: The name of the one who signs.
        remote_url: Where the manifest is instead of in the file.
        claim_version: Of the C2PA claim, 1 or 2.
        listed: The actions as a manifest has them, instead of those above.
        assertions: More of them, by label.
        signer: As `make_authority` gives it, instead of that of `authority`.
        program: What the claim names as its generator.
        usages: Object identifiers of key usages that a signer may have, beside the usual ones.
        time_authority: The address of one that stamps the signature with its time.
        label: Of the manifest; by default, one that is drawn.
    """
    import c2pa

    _, certificate, secret = signer or make_authority(authority)
    first = describe(action, source_type)
    if action != "c2pa.created":
        first["parameters"] = {"ingredientIds": [f"part{i}" for i in range(len(ingredients))]}
    actions: dict[str, Any] = {"actions": [first, *(describe(*item) for item in more)]}
    if templates:
        actions["templates"] = [describe(*item) for item in templates]
    if complete is not None:
        actions["allActionsIncluded"] = complete
    if listed is not None:
        actions["actions"] = listed
    all_assertions: list[dict[str, Any]] = [{"label": "c2pa.actions.v2", "created": created, "data": actions}]
    all_assertions += [{"label": label, "created": created, "data": data} for label, data in assertions]
    if metadata is not None:
        properties = {
            "@context": {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"},
            "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPES + metadata,
        }
        all_assertions.append({"label": "c2pa.metadata", "created": True, "data": properties})
    manifest: dict[str, Any] = {
        "claim_version": claim_version,
        "claim_generator_info": [{"name": program, "version": "1"}],
        "title": "image",
        "assertions": all_assertions,
    }
    if label is not None:
        manifest["label"] = label
    stamps = time_authority.encode() if time_authority else None
    info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=certificate, private_key=secret, ta_url=stamps)
    out = io.BytesIO()
    with (
        c2pa.Context.from_dict(OFFLINE | ({"trust": {"trust_config": usages}} if usages else {})) as context,
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


def describe(action: str, source_type: str | None) -> dict[str, Any]:
    """Return an action as a manifest has it."""
    return {"action": action} | ({} if source_type is None else {"digitalSourceType": SOURCE_TYPES + source_type})
