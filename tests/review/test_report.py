"""The report: as JSON, as a table, and as a page that shows hostile answers and runs nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from openeo_backend.federation.review.check import Exchange, check, failed, passed, warned
from openeo_backend.federation.review.html import page
from openeo_backend.federation.review.report import table
from openeo_backend.federation.review.review import Finding, examine, holds

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\" ' & <b>"


def finding(status: str, level: str = "required", **changed: Any) -> Finding:
    @check("API-1", profile="L1/L2", kind="anonymous", source="https://example.org/a", level=level)  # type: ignore[arg-type]
    def looks(node: Any) -> Any:
        """It looks"""

    verdicts = {"pass": passed("Good."), "fail": failed("Bad.", expected="better"), "warning": warned("So so.")}
    verdict = verdicts[status]
    exchange = Exchange("GET", "http://x/", 200, "GET http://x/", 0.25)
    return Finding(looks, type(verdict)(verdict.status, verdict.message, verdict.expected, (exchange,)))


def document(*findings: Finding, **changed: Any) -> dict[str, Any]:
    summary = {
        "url": "http://x",
        "root": "http://x/1.2",
        "title": "Fields",
        "api_version": "1.2.0",
        "backend_version": "1",
        "date": "2026-11-22T10:00:00+00:00",
        "profiles": ["LP"],
        "counts": {"pass": 1, "fail": 1, "warning": 0, "not-applicable": 0, "declared": 0},
        "required_failures": ["API-1"],
        "holds": False,
        "metadata": {},
    }
    return {"checks": [finding.json() for finding in findings], "summary": {**summary, **changed}}


def test_a_check_as_json() -> None:
    assert finding("fail").json() == {
        "id": "API-1",
        "title": "It looks",
        "profiles": ["L1", "L2"],
        "level": "required",
        "kind": "anonymous",
        "status": "fail",
        "message": "Bad.",
        "expected": "better",
        "evidence": [{"method": "GET", "url": "http://x/", "status": 200, "seconds": 0.25, "excerpt": "GET http://x/"}],
        "source": "https://example.org/a",
    }


@pytest.mark.parametrize(
    ("status", "level", "good"),
    [
        ("fail", "required", False),
        ("fail", "recommended", True),
        ("warning", "required", True),
        ("pass", "required", True),
    ],
)
def test_only_failures_of_what_is_required_count(status: str, level: str, good: bool) -> None:
    assert holds([finding(status, level)]) is good


def test_the_table_says_why() -> None:
    text = "\n".join(table(document(finding("fail"), finding("pass"))))
    assert "fail           API-1" in text
    assert "Bad." in text
    assert "expected: better" in text
    assert "Good." not in text
    assert "Required checks that failed: API-1" in text


class Reader(HTMLParser):
    """The elements, attributes and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_escapes_everything_that_comes_from_outside() -> None:
    hostile = finding("fail").json()
    hostile |= {"message": HOSTILE, "expected": HOSTILE, "source": f"javascript:{HOSTILE}", "title": HOSTILE}
    hostile["evidence"] = [{"method": HOSTILE, "url": HOSTILE, "status": 200, "seconds": 0, "excerpt": HOSTILE}]
    names = {name: HOSTILE for name in ("url", "root", "title", "api_version", "backend_version")}
    body = document(**names, required_failures=[HOSTILE], profiles=[HOSTILE])
    body["checks"] = [hostile]
    reader = Reader()
    reader.feed(page(body))
    assert not {"script", "img", "b"} & set(reader.tags)
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert not any(name == "href" for name, _ in reader.attributes)
    assert "".join(reader.texts).count("<script>alert(1)</script>") >= 10


def test_the_page_loads_nothing() -> None:
    text = page(document(finding("fail"), finding("warning"), finding("pass")))
    reader = Reader()
    reader.feed(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert "src" not in dict(reader.attributes)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_pages_filter_by_status_and_open_what_is_wrong() -> None:
    text = page(document(finding("fail"), finding("warning"), finding("pass")))
    for status in ("pass", "fail", "warning", "declared", "not-applicable"):
        assert f'id="f-{status}" checked' in text
        assert f"#f-{status}:not(:checked) ~ main .s-{status} {{ display: none; }}" in text
    assert '<details class="s-fail" open>' in text
    assert '<details class="s-pass">' in text


class Answers:
    """What the frame needs of a node."""

    token = None

    def begin(self) -> None:
        pass

    def evidence(self) -> tuple[Exchange, ...]:
        return ()


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), AttributeError("x"), RecursionError(), IndexError()])
def test_answers_of_any_form_are_a_failure_not_a_crash(error: Exception) -> None:
    @check("X-1", profile="L1", kind="anonymous", source="https://example.org")
    def stumbles(node: Any) -> Any:
        """Stumbles"""
        raise error

    found = examine(stumbles, Answers())  # type: ignore[arg-type]
    assert found.verdict.status == "fail"


def test_checks_that_need_a_user_say_so() -> None:
    @check("X-1", profile="L1", kind="token", source="https://example.org")
    def needs(node: Any) -> Any:
        """Needs a user"""
        raise AssertionError

    verdict = examine(needs, Answers()).verdict  # type: ignore[arg-type]
    assert verdict.status == "not-applicable"
    assert "--token" in verdict.message
