"""What a client must show: bearer tokens, basic authentication. Asked for is what has a key, whatever its value.

In: a section with the keys of `Access`. Out: an `Access`; what asks for a secret and yields none, or one that anybody
could guess, is reported. Files are only named here: service/named_files.py reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from lanner.config.places import Place, Places
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span

_NOT_FILLED_IN = re.compile(r"\$\{[^}]*\}|\$\([^)]*\)|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}")
"""A whole value that is still a reference: of the shell, of Kubernetes, of a template. Whoever knows the text of the
configuration could log in with it."""


_SWITCHES = frozenset(("true", "false", "yes", "no", "on", "off"))
"""What nobody means as a secret, and anybody could guess."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a client must show; nothing without any. Tokens and password may stand in files, which may change.

    `places`: where the keys stand that are there.
    """

    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def open(self) -> bool:
        """Whether anybody is let in."""
        return not (self.token or self.token_file or self.username or self.places)

    def at(self, key: str) -> Span | None:
        """Where a key stands."""
        return self.places.get(key)


KEYS = tuple(each.name for each in fields(Access) if each.name != "places")


def read_access(place: Place, report: Report) -> Access:
    """The access that a section asks for. Empty values are reported by `Place.check_not_empty`."""
    values = {key: place.get(key, str) for key in KEYS}
    places = {key: span for key, span in place.places().items() if key in KEYS}
    access = Access(**values, places=MappingProxyType(places))
    _check(access, place, report)
    return access


def _check(access: Access, place: Place, report: Report) -> None:
    named = place.has("username") or bool(access.username)
    has_password = place.has("password") or place.has("password_file")
    if named != has_password:
        report.add(
            Code.CONFIG_ERROR,
            "basic authentication needs a name and a password",
            place.at("username" if named else "password" if place.has("password") else "password_file"),
            "write `username` and one of `password` and `password_file`.",
        )
    problems: Mapping[str, str] = {
        "token": _token_problem(access.token),
        "username": "holds a `:`, which ends a user name" if ":" in access.username else "",
        "password": "",
    }
    for key, problem in problems.items():
        value: str = getattr(access, key)
        if _NOT_FILLED_IN.fullmatch(value.strip()):
            problem = "is a reference that nobody has filled in"
        if value.strip().lower() in _SWITCHES:
            problem = f"cannot be `{value.strip()}`: that turns nothing on or off"
        if problem:
            report.add(
                Code.CONFIG_ERROR,
                f"`{place.setting(key).name}` {problem}",
                place.at(key),
                _advice(problem),
            )


def _advice(problem: str) -> str:
    if "filled" in problem:
        return (
            "in a file write `${NAME}` for a variable of the environment; in `-o` the shell fills it in, within double"
            " quotes."
        )
    if "turns" in problem:
        return "leave the key out to ask for nothing."
    return "write it as it is sent in the Authorization header."


def _token_problem(token: str) -> str:
    """Why a text can be no bearer token; empty for one that can, and for no text at all."""
    if token.strip() and (token.split() != [token] or not token.isascii() or not token.isprintable()):
        return "is no bearer token: it holds blanks, or characters that are not printable ASCII"
    return ""
