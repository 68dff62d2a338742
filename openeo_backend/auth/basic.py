"""HTTP Basic: a name and a password for a token."""

from __future__ import annotations

import base64

from openeo_backend.errors import OpenEOError


def read_basic(header: str | None) -> tuple[str, str]:
    """Name and password in an Authorization header (RFC 7617, UTF-8).

    :raises OpenEOError: AuthenticationRequired without a header; AuthenticationSchemeInvalid for another scheme;
        CredentialsInvalid for one that cannot be read.
    """
    if not header or not header.strip():
        raise OpenEOError(
            "AuthenticationRequired",
            "This needs a name and a password.",
            hint="Send them by HTTP Basic: 'Authorization: Basic ...'.",
        )
    scheme, _, credentials = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise OpenEOError(
            "AuthenticationSchemeInvalid",
            f"The authentication scheme '{scheme[:20]}' is not accepted here.",
            hint="Send name and password by HTTP Basic.",
        )
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode("utf-8")
    except ValueError:  # no Base64, or no UTF-8
        text = ""
    name, colon, password = text.partition(":")
    if not colon or not name or not name.isprintable():
        raise OpenEOError("CredentialsInvalid", "The HTTP Basic credentials cannot be read.")
    return name, password
