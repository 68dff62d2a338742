"""The page on conformance tells which official cases are defective, and why."""

from __future__ import annotations

import re
from pathlib import Path

from defective_cases import DEFECTIVE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def test_page_lists_the_defective_cases() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d, ]+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {(process, int(index)): why for process, indices, why in rows for index in indices.split(",")}
    assert listed == DEFECTIVE
