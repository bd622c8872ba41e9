"""Takes credentials out of a request URI: the values of query parameters that hold some, as `?access_token=...` does.

In: the URI as the client sent it. Out: the same with `[redacted]` as the value of each parameter whose name says that
it is a credential, however the name is written: in upper case, percent-encoded, behind `;` or in a fragment, or inside
of another parameter, as the encoded URL of a redirect has them. Where it is unclear what ends such a value, too much is
taken: everything up to the next bare `&`. The same stands for user and password of a URL in it. Linear in the length of
the URI.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

SECRET_NAME_ENDINGS = (
    "token",
    "tokens",
    "tokenhint",
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "signature",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "assertion",
    "jwt",
)
"""How names of such parameters end, in lower case and without anything but letters and digits: `X-Amz-Signature`."""

SECRET_NAMES = frozenset(("auth", "authorization", "bearer", "key", "pass", "pw", "pwd", "sig"))
"""Names that count only as a whole."""

MAX_DECODINGS = 4
"""How often a name may be percent-encoded, one time around the other."""

MAX_CHARACTERS = 32_768
"""Characters of a URI that are looked at; what stands behind them is left out. Clients choose how long a URI is."""

_REDACTED = "[redacted]"
_WORDS = ("tok", "sec", "ass", "pw", "sig", "key", "cred", "jwt", "auth", "bear")
"""Every name that counts holds one of these, unless its letters are encoded."""

_encoded_letter = re.compile("%(?:25|[4-7])").search
_marks = re.compile("(=|%(?:25)*3[Dd])|[?&;#]|%(?:25)*(?:3[BFbf]|2[36])").finditer
"""What stands behind a name; or, not as a group, in front of one. Encoded any number of times."""

_authorities = re.compile(
    "((?:[:=]|%(?:25)*3[AaDd])(?:/|%(?:25)*2[Ff]){2})((?:[^/?&#%]++|%(?!(?:25)*(?:2[36Ff]|3[Ff])))++)"
).sub
_ats = re.compile("@|%(?:25)*40").finditer
"""The `//` of a URL and what it names up to the next `/`; in that, the end of user and password. Encoded any number of
times."""

_other_characters = re.compile("[^a-z0-9]+").sub


def without_secret_parameters(uri: str) -> str:
    """The URI without the values of such parameters; the same object if it has none."""
    if len(uri) > MAX_CHARACTERS:
        left_out = len(uri) - MAX_CHARACTERS
        return f"{without_secret_parameters(uri[:MAX_CHARACTERS])}[left out: {left_out:,} characters]"
    if not _may_have_some(uri):
        return uri
    shown = _authorities(_without_user_info, "&".join(map(_without_secret, uri.split("&"))))
    return uri if shown == uri else shown


def _may_have_some(uri: str) -> bool:
    """Whether it is worth to look at the parameters, which costs much more than this."""
    if "@" in uri:
        return True
    if "%" in uri:
        if _encoded_letter(uri) is not None:
            return True
    elif "=" not in uri:
        return False
    plain = uri.lower()
    for word in _WORDS:  # noqa: SIM110 - a generator costs more than all the rest
        if word in plain:
            return True
    return False


def _without_secret(part: str) -> str:
    """A part without a bare `&`: up to the value of the first such parameter in it."""
    name: int | None = 0
    for mark in _marks(part):
        if mark[1] is None:
            name = mark.end()
        elif name is not None:
            if _is_secret(part[name : mark.start()]) and mark.end() < len(part):
                return part[: mark.end()] + _REDACTED
            name = None
    return part


def _without_user_info(authority: re.Match[str]) -> str:
    end = 0
    for at in _ats(authority[2]):
        end = at.start()
    return f"{authority[1]}{_REDACTED}{authority[2][end:]}" if end else authority[0]


def _is_secret(name: str) -> bool:
    letters = _other_characters("", _decoded(name).lower())
    return letters.endswith(SECRET_NAME_ENDINGS) or letters in SECRET_NAMES


def _decoded(text: str) -> str:
    for _ in range(MAX_DECODINGS):
        if "%" not in text:
            break
        text = unquote(text)
    return text
