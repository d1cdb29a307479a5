"""The files of the page as they are; what they do is shown in a browser, by tests/browser."""

import re
from html.parser import HTMLParser

import pytest

from lockstep.service import access, page

INDEX = page.FILES["/"].decode()
POLICY = dict(page.HEADERS)[b"content-security-policy"].decode()

files = pytest.mark.parametrize("name", page.FILES)


class Elements(HTMLParser):
    """Notes every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = Elements(INDEX).found


@files
def test_a_file_has_the_type_of_its_ending_and_needs_no_token(name: str) -> None:
    endings = {"css": b"text/css", "js": b"text/javascript"}
    kind = endings.get(name.rpartition(".")[2], b"text/html")
    assert page.KINDS[name] == kind + b"; charset=utf-8"
    assert name in access.OPEN


@files
def test_a_file_is_small_and_asks_nobody_else(name: str) -> None:
    content = page.FILES[name].decode("utf-8")
    assert len(content) < 16_000
    named = set(re.findall(r"https?://[^\s\"'`)]*", content))
    assert named <= {"http://www.w3.org/2000/svg"}, "a name of XML, which nobody asks"


@files
def test_no_file_turns_text_into_markup_or_code(name: str) -> None:
    content = page.FILES[name].decode("utf-8")
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setTimeout\(|localStorage|cookie"
    )
    assert re.findall(sinks, content) == []


def test_the_page_holds_no_script_style_or_handler_of_its_own() -> None:
    scripts = [attributes for tag, attributes in ELEMENTS if tag in ("script", "style")]
    assert scripts == [{"type": "module", "src": "page.js"}]
    assert not [name for _, attributes in ELEMENTS for name in attributes if name.startswith("on") or name == "style"]


def test_the_policy_allows_the_services_own_files_and_nothing_inline() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "require-trusted-types-for 'script'" in POLICY
    sources = {word for rule in POLICY.split("; ") for word in rule.split()[1:]}
    assert sources == {"'none'", "'self'", "'script'", "data:"}


def test_every_file_is_asked_for_and_every_file_that_is_asked_for_is_there() -> None:
    asked = {f"/{value}" for _, attributes in ELEMENTS for key, value in attributes.items() if key == "src"}
    asked |= {f"/{attributes['href']}" for _, attributes in ELEMENTS if attributes.get("rel") == "stylesheet"}
    for content in page.FILES.values():
        asked |= {f"/{name}" for name in re.findall(r'from "\./([\w.]+)"', content.decode("utf-8"))}
    assert asked | {"/"} == set(page.FILES)


def test_every_element_that_a_script_looks_for_is_in_the_page() -> None:
    known = {attributes["id"] for _, attributes in ELEMENTS if "id" in attributes}
    looked = {name for content in page.FILES.values() for name in re.findall(r'\bat\("([\w-]+)"\)', content.decode())}
    assert looked
    assert looked - known == set()
