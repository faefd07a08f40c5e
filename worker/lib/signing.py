"""Signatures on what arrives: HMAC over a message that the vendor's scheme builds.

An integration builds the message and takes the candidates out of its header; what is dangerous about comparing them
happens here, once.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

TOLERANCE: Final = 300
"""Seconds by which a signed moment may differ from ours, either way: what Stripe and Standard Webhooks advise."""

_ENCODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "hex": lambda digest: digest.hex().encode("ascii"),
    "base64": base64.b64encode,
}


def signature(
    secret: bytes | str,
    message: bytes,
    *,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
    prefix: str = "",
) -> bytes:
    """The HMAC (RFC 2104) of a message as it stands in a header, ASCII: `prefix` then hex or base64.

    A secret given as text is used as its UTF-8 bytes, whatever it begins with.
    """
    key = secret.encode("utf-8") if isinstance(secret, str) else secret
    return prefix.encode("ascii") + _ENCODINGS[encoding](hmac.digest(key, message, algorithm))


def signature_matches(
    secrets: Sequence[bytes | str],
    message: bytes,
    candidates: Sequence[str],
    *,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
    prefix: str = "",
) -> bool:
    """Whether one of the candidates is the signature of `message` under one of the active secrets.

    Several secrets are active while one is being replaced; several candidates come from vendors that sign with both.
    An empty secret matches nothing: anyone can sign with it. Candidates may hold any characters at all; they are
    compared as they are written (a decoded base64 text has more than one spelling), as bytes, in constant time.
    Raises TypeError for a bare text in place of a sequence, which would be a sequence of one-letter secrets.
    """
    if isinstance(secrets, (str, bytes)) or isinstance(candidates, (str, bytes)):
        raise TypeError("secrets and candidates are sequences; wrap a single one: [secret]")
    given = [candidate.encode("utf-8", "replace") for candidate in candidates]
    matches = False
    for secret in secrets:
        if not secret:
            continue
        expected = signature(secret, message, algorithm=algorithm, encoding=encoding, prefix=prefix)
        for candidate in given:
            # No early way out: how long it takes must not tell which secret came close.
            matches |= hmac.compare_digest(expected, candidate)
    return matches


def secret_matches(secrets: Sequence[bytes | str], given: str) -> bool:
    """Whether `given` is one of the active secrets itself: for vendors that cannot sign. In constant time."""
    if isinstance(secrets, (str, bytes)):
        raise TypeError("secrets is a sequence; wrap a single one: [secret]")
    candidate = given.encode("utf-8", "replace")
    matches = False
    for secret in secrets:
        expected = secret.encode("utf-8") if isinstance(secret, str) else secret
        matches |= bool(expected) and hmac.compare_digest(expected, candidate)
    return matches


def fresh(timestamp: int, now: int, tolerance: int = TOLERANCE) -> bool:
    """Whether a signed moment lies within `tolerance` of now, both ends included; all in epoch seconds.

    One from the future is refused as well: otherwise a captured request with a late date could be replayed until then.
    """
    return abs(now - timestamp) <= tolerance
