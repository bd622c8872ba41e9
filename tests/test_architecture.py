"""The shape of the source tree: who may import whom, how long a module may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
PACKAGE = SOURCE / "lanner"

# Lowest first: a part imports only what stands before it. `alert` and `config` are modules, most others packages.
ORDER = (
    "version",
    "priority",
    "regular_file",
    "secrecy",
    "rfc3339",
    "escaping",
    "event",
    "jsontext",
    "asked",
    "decode",
    "diagnostics",
    "yamltext",
    "condition",
    "fields",
    "rules",
    "compiler",
    "content",
    "config",
    "engine",
    "testing",
    "store",
    "sources",
    "replay",
    "service",
    "server",
    "pipeline",
    "app",
    "cli",
)

# Modules that stand outside the package they belong to, because users meet them by themselves.
BELONGS_TO = {"alert": "engine", "__main__": "cli"}

# Exceptions to the order above: who must not be known although it stands lower.
FORBIDDEN = {
    "rules": {"fields"},
    "config": {"condition", "fields", "rules", "compiler"},
    "store": {"event", "jsontext", "decode", "diagnostics", "condition", "fields", "rules", "compiler", "config"}
    | {"engine", "content", "testing"},
    "sources": {"condition", "fields", "rules", "compiler", "config", "engine", "content", "testing"},
}

LONGEST = 700


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(module: str, everywhere: bool) -> Iterator[str]:
    """The modules of this project that a module imports; `everywhere`: also inside functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(_outside_functions(tree))
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in MODULES)
            case ast.ImportFrom(module=source, names=names, level=0) if source is not None and source in MODULES:
                for name in names:
                    whole = f"{source}.{name.name}"
                    yield whole if whole in MODULES else source


def _outside_functions(tree: ast.Module) -> list[ast.AST]:
    found: list[ast.AST] = []
    work: list[ast.AST] = [tree]
    while work:
        node = work.pop()
        found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            work.extend(ast.iter_child_nodes(node))
    return found


def part(module: str) -> str:
    """The part of the project a module belongs to: the second word of its name; nothing for `lanner` itself."""
    word = module.split(".")[1] if "." in module else ""
    return BELONGS_TO.get(word, word)


INNER = [module for module in MODULES if part(module)]


@pytest.mark.parametrize("module", INNER)
def test_every_module_belongs_to_a_part_of_the_order(module: str) -> None:
    """A new package has to be given its place."""
    assert part(module) in ORDER


@pytest.mark.parametrize("module", INNER)
def test_a_module_imports_only_what_stands_before_its_part(module: str) -> None:
    """Imports point one way."""
    here = part(module)
    for imported in imports(module, everywhere=True):
        there = part(imported)
        assert there, f"{module} imports the public door, lanner itself"
        if there == here:
            continue
        assert ORDER.index(there) < ORDER.index(here), f"{module} imports {imported}, which stands behind it"
        assert there not in FORBIDDEN.get(here, set()), f"{module} must know nothing of {imported}"


def test_there_is_no_import_cycle() -> None:
    """Modules can be read in some order, each one knowing only earlier ones; imports inside functions count."""
    graph = {
        module: {found for found in imports(module, everywhere=part(module) != "cli") if found != module}
        for module in INNER
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [module for module in INNER if part(module) != "cli"])
def test_imports_stand_at_the_top_of_the_module(module: str) -> None:
    """Only commands import late."""
    assert set(imports(module, everywhere=True)) == set(imports(module, everywhere=False))


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short_and_named_for_what_they_do(module: str) -> None:
    """A long module hides several; `utils` hides anything."""
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert not {"util", "utils", "helpers", "misc"} & set(module.split("."))


@pytest.mark.parametrize("module", MODULES)
def test_modules_say_what_they_are(module: str) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))


def test_yaml_is_read_in_one_place() -> None:
    """The limits on YAML hold for all of it; `conformance` has its values built only after they were checked."""
    users = {module for module, path in MODULES.items() if "import yaml\n" in path.read_text(encoding="utf-8")}
    assert users == {"lanner.yamltext", "lanner.testing.conformance"}
