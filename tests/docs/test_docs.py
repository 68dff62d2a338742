"""Documentation that cannot rot."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from openeo_backend.api.app import RESOURCES
from openeo_backend.formats.registry import FORMATS
from openeo_backend.settings import names

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "command-line.md", "processes.md"])
def test_generated_pages_are_those_of_this_code(generate: ModuleType, name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs`"


def test_every_setting_is_on_its_page() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert [name for name in names() if f"`{name}`" not in text] == []


def test_every_format_and_its_options_are_documented() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    missing = [f.name for f in FORMATS.values() if f.name not in text]
    missing += [f"{f.name}: {option}" for f in FORMATS.values() for option in f.parameters if f"`{option}`" not in text]
    assert missing == []


def test_every_endpoint_is_documented() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8") + (DOCS / "jobs.md").read_text(encoding="utf-8")
    words = {"versions": "well-known"}
    names = [words.get(resource.name, resource.name.split("_")[0]) for resource in RESOURCES]
    assert [name for name in names if name not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in (ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("adr/*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_the_package_is_small_rooms() -> None:
    long = []
    for path in (ROOT / "openeo_backend").rglob("*.py"):
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > 450:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
    assert long == []
