"""Holds a tree of settings against the table: unknown keys, values of the wrong kind.

Values that cannot be used are reported and left out, so that the defaults hold. Among Falco's keys an unknown one is a
warning, as it may be of another version; among our own it is an error, since what it asks for would not happen.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from lanner.config.settings import SETTINGS, Kind, Setting, children, is_list, is_section
from lanner.config.tree import Items, Node, Scalar, Section, hide, read_bool, read_integer, scalars
from lanner.config.units import read_duration, read_size
from lanner.diagnostics.codes import Code, Severity
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span

STORE_SCHEMES = ("sqlite", "postgresql", "postgres")
"""How the URL of a store begins; the last is another word for the one before it."""


OWN = "lanner"
"""The section of what Falco does not have."""

_NEED_THEIR_VARIABLES = (f"{OWN}.", "webserver.listen_address", "plugins[].open_params")
"""Beginnings of settings that must not become something else because a variable is not set: all of our own, and where
to listen, since an empty address means all addresses."""

_ASKING = frozenset(name.rpartition(".")[2] for name, setting in SETTINGS.items() if setting.asks_for)
_FIRST_WORD = re.compile(r"[^.\[]*")


def check(root: Section, report: Report) -> dict[str, object]:
    """The values of all settings that are set and good, by name. Settings inside of lists are checked, not returned."""
    values: dict[str, object] = {}
    _section("", root, values, report)
    _store(root, values, report)
    return values


def _store(root: Section, values: dict[str, object], report: Report) -> None:
    """The URL of the store, as far as can be told without the store. It may hold a password: no part is repeated."""
    url = str(values.get("lanner.store", ""))
    scheme, colon, rest = url.partition("://")
    unescaped = scheme in STORE_SCHEMES[1:] and _is_ambiguous(rest)
    if not url or (scheme in STORE_SCHEMES and rest and not unescaped):
        return
    del values["lanner.store"]
    span = _place(root, ("lanner", "store"))
    if unescaped:
        report.add(
            Code.CONFIG_ERROR,
            "`lanner.store` holds an `@` that is not escaped in its password or options",
            span,
            "write `%40` for it, or use a password file (.pgpass).",
        )
        return
    known = " or ".join(f"`{scheme}`" for scheme in STORE_SCHEMES[:2])
    problem = f"`{scheme}` is no kind of store" if colon and scheme.isalnum() else "`lanner.store` is no URL of a store"
    if scheme in STORE_SCHEMES:
        problem = "`lanner.store` does not say which store"
    report.add(
        Code.CONFIG_ERROR,
        problem,
        span,
        f"it begins with {known}: `sqlite:////folder/lanner.db`, `postgresql://user@host/database`.",
    )


_AUTHORITY = re.compile(r"(?:([^:/]*(?::[^@]*)?)@)?([^/?]*)", re.DOTALL)


def _is_ambiguous(rest: str) -> bool:
    """Whether a `@` in a URL, behind its scheme, can be taken for the end of the user and password when it is not."""
    match = _AUTHORITY.match(rest)
    assert match is not None
    user, host = match[1] or "", match[2]
    return "@" in host or "=" in user.partition("?")[2]


def _place(root: Section, path: tuple[str, str]) -> Span:
    """Where a value in a section of the top stands, which is there."""
    section = root.entries[path[0]].value
    assert isinstance(section, Section)
    entry = section.entries[path[1]]
    return entry.value.span or entry.key


def _section(path: str, node: Section, values: dict[str, object], report: Report) -> None:
    known = sorted(children(path))
    own = path.partition(".")[0] == OWN
    for key, entry in node.entries.items():
        if key not in known:
            near = _near(key, known)
            where = f" in `{path}`" if path else ""
            misplaced = not own and _is_ours(key, path)
            code = Code.CONFIG_ERROR if own or misplaced or near == OWN else Code.CONFIG_UNKNOWN_KEY
            if code.severity is Severity.ERROR:
                hide(entry.value)  # what is meant may be a secret
            advice = "it goes into the section `lanner:`." if misplaced else _advice(near, path, known)
            report.add(code, f"unknown key `{key}`{where}", entry.key, advice)
            continue
        _value(f"{path}.{key}" if path else key, entry.value, values, report)
    for key, span in node.repeated:
        if own or (not path and key == OWN):
            where = f" in `{path}`" if path else ""
            report.add(Code.CONFIG_ERROR, f"`{key}` is there twice{where}", span, "put both together.")


def _is_ours(key: str, path: str) -> bool:
    """Whether an unknown key outside of our section can only mean a setting of ours: at the top one of its keys, also
    as options write it (`lanner.webhooks`); anywhere what asks for authentication or https."""
    word = _FIRST_WORD.match(key.strip().lower())
    assert word is not None
    return word[0] in _ASKING or (not path and (word[0].startswith(OWN) or word[0] in children(OWN)))


def _near(key: str, known: list[str]) -> str:
    """The known key that is most like this one, if one is."""
    return next(iter(get_close_matches(key.lower(), known, n=1, cutoff=0.6)), "")


def _advice(near: str, path: str, known: list[str]) -> str:
    if near:
        return f"did you mean `{near}`?"
    return (
        f"the keys there are {_listed(known)}."
        if path
        else "it is ignored; what Falco does not have goes under `lanner:`."
    )


def _value(name: str, node: Node, values: dict[str, object], report: Report) -> None:
    if isinstance(node, Scalar) and node.empty:
        return
    setting = SETTINGS.get(name)
    if is_list(name):
        if setting is not None and isinstance(node, Scalar):
            return
        if not isinstance(node, Items):
            report.add(
                Code.CONFIG_ERROR,
                f"`{name}` must be a list",
                node.span,
                f"write `{name}:` and items that begin with `-`.",
            )
            return
        for item in node.items:
            if isinstance(item, Section):
                _section(f"{name}[]", item, {}, report)
            elif setting is None or isinstance(item, Items):
                report.add(
                    Code.CONFIG_ERROR,
                    f"an item of `{name}` must be a mapping",
                    item.span,
                    f"its keys are {_listed(sorted(children(f'{name}[]')))}.",
                )
    elif is_section(name):
        if isinstance(node, Section):
            _section(name, node, values, report)
        elif node.span is not None:
            keys = _listed(sorted(children(name)))
            report.add(
                Code.CONFIG_ERROR,
                f"`{name}` must be a section",
                node.span,
                f"write `{name}:` and below it keys: {keys}.",
            )
    else:
        assert setting is not None
        try:
            values[name] = read(setting, node)
        except ValueError as error:
            report.add(Code.CONFIG_ERROR, _problem(setting, node), node.span, str(error))
            return
        if name.startswith(_NEED_THEIR_VARIABLES) and not setting.asks_for:
            for scalar in scalars(node):
                if scalar.unset:
                    report.add(Code.CONFIG_ERROR, f"`{name}` is incomplete", scalar.span, "set the variable.")


def read(setting: Setting, node: Node) -> object:
    """The value of a setting. Raises ValueError that says what to write."""
    match setting.kind, node:
        case Kind.ANY, _:
            return node
        case Kind.TEXTS, Items():
            return tuple(_text(item) for item in node.items)
        case Kind.TEXTS, Scalar():
            return (node.text.value,)
        case Kind.TEXT_MAP, Section():
            return {key: _text(entry.value) for key, entry in node.entries.items()}
        case Kind.TEXT_MAP | Kind.TEXTS, _:
            raise ValueError(_example(setting))
        case _, Scalar():
            return _scalar(setting, node.text.value)
        case _:
            raise ValueError(_example(setting))


def _problem(setting: Setting, node: Node) -> str:
    """What is wrong with a value that the setting cannot have."""
    if setting.choices and isinstance(node, Scalar):
        return f"`{setting.name}` cannot be `{node.text.value}`"
    return f"`{setting.name}` must be {setting.kind.value}"


def _text(node: Node) -> str:
    if not isinstance(node, Scalar):
        raise ValueError("every item must be a text.")
    return node.text.value


def _scalar(setting: Setting, text: str) -> object:
    try:
        match setting.kind:
            case Kind.BOOL:
                return read_bool(text)
            case Kind.INTEGER:
                return read_integer(text)
            case Kind.NUMBER:
                return float(text)
            case Kind.DURATION:
                return read_duration(text)
            case Kind.SIZE:
                return read_size(text)
    except ValueError:
        raise ValueError(_example(setting)) from None
    if setting.choices and text.lower() not in setting.choices:
        near = get_close_matches(text.lower(), setting.choices, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else "."
        raise ValueError(f"it is one of {_listed(setting.choices)}{hint}")
    return text.lower() if setting.choices else text


def _example(setting: Setting) -> str:
    key = setting.name.rpartition(".")[2]
    match setting.kind:
        case Kind.TEXTS:
            return f"write `{key}: [first, second]`."
        case Kind.TEXT_MAP:
            return f"write `{key}:` and below it `name: text` lines."
        case Kind.BOOL:
            return f"write `{key}: true` or `{key}: false`."
        case Kind.INTEGER | Kind.NUMBER:
            return f"write a number, for example `{key}: {setting.default}`."
        case Kind.DURATION | Kind.SIZE:
            return f"write a number and its unit, for example `{key}: {setting.default}`."
        case _:
            return f"write `{key}: text`."


def _listed(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
