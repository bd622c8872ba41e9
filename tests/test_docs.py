"""The documentation: complete, current, and true where it can be tried."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from lanner.condition.operators import MODIFIERS, OPERATORS, TRANSFORMERS, VAL
from lanner.config import SETTINGS
from lanner.diagnostics.codes import Code
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.service.internal import PRIORITIES
from lanner.sources.refusal import Reason

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    """If this fails, run `make docs`."""
    assert read(name) == GENERATOR.PAGES[name]()


@pytest.mark.parametrize("code", Code)
def test_every_code_has_an_example_that_gives_it(code: Code) -> None:
    """The file in docs/diagnostics gives its code, or the page says why nothing does."""
    assert f"\n## {code.value}\n" in read("diagnostics.md")
    assert GENERATOR.example_of(code), f"docs/diagnostics/{code.value}.yaml is missing"
    if code not in GENERATOR.NEVER_GIVEN:
        assert code in {diagnostic.code for diagnostic in GENERATOR.problems_of(code)}


def test_every_reason_for_a_refusal_is_documented() -> None:
    """Counters and alerts name it, so somebody will look it up."""
    assert [reason for reason in Reason if f"\n| `{reason}` |" not in read("sources.md")] == []


def test_every_internal_alert_is_documented() -> None:
    """The same for the rules of alerts that no rules file has."""
    assert [name for name in PRIORITIES if f"\n| {name} |" not in read("service.md")] == []


def test_every_operator_modifier_and_transformer_is_documented() -> None:
    """The language reference leaves nothing out."""
    page = read("conditions.md")
    for word in (*OPERATORS, *MODIFIERS, *TRANSFORMERS):
        assert f"| `{word}` |" in page
    assert f"`{VAL}(field)`" in page


def test_every_field_is_documented() -> None:
    """The field reference leaves nothing out."""
    page = read("fields.md")
    for field in k8s_audit_catalog():
        assert f"| `{field.name}` |" in page


def test_every_setting_is_documented() -> None:
    """The configuration reference leaves nothing out."""
    page = read("configuration.md")
    for name in SETTINGS:
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Files and headings that are linked to exist."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", file.read_text(encoding="utf-8"))
            anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_the_targets_that_are_documented_exist() -> None:
    """`make X` in the pages is a target of the Makefile."""
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


TESTS = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (DOCS / "security.md").read_text())


@pytest.mark.parametrize(("file", "test"), TESTS)
def test_the_tests_that_hold_a_promise_exist(file: str, test: str) -> None:
    """Each row of the page about security names one."""
    text = (ROOT / file).read_text()
    assert f"def {test}(" in text
