"""Links of the pages that are no part of the site, and names of files wherever they stand.

Links within the site are checked when it is built: `make docs` fails on a broken one.
"""

import pathlib
import re

import pytest
from markdown_it import MarkdownIt

ROOT = pathlib.Path(__file__).resolve().parents[3]
OUTSIDE = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
PRESENT = [page for page in OUTSIDE if page.name != "CHANGELOG.md"]  # Which tells of the past, too.
PRESENT += sorted((ROOT / "docs").rglob("*.md"))
FOLDERS = "benchmarks|cpp|deploy|docs|examples|proto|python|tests|tools"


def inline_tokens(page):
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8")):
        yield from token.children or ()


def links(page):
    for token in inline_tokens(page):
        if token.type == "link_open":
            yield token.attrs["href"]


def anchors(page):
    """As GitHub and mkdocs make them of headings without punctuation."""
    for line in page.read_text("utf-8").splitlines():
        if match := re.fullmatch(r"#+ (.+)", line):
            yield re.sub(r"[^\w -]", "", match[1].lower()).replace(" ", "-")


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", OUTSIDE, ids=name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in set(anchors(target)), link


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_named_files_exist(page):
    for token in inline_tokens(page):
        if token.type == "code_inline" and re.fullmatch(rf"(?:{FOLDERS})/[\w./-]+", token.content):
            assert (ROOT / token.content).exists(), token.content


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_named_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    rules = re.findall(r"^([\w -]+):(?!=)", makefile, re.MULTILINE)
    declared = {target for rule in rules for target in rule.split()}
    for target in re.findall(r"(?:`|^\$ )make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE):
        assert target in declared, target


def test_every_decision_is_in_the_index():
    index = ROOT / "docs/decisions/index.md"
    pages = {page.name for page in index.parent.glob("*.md")} - {index.name}
    assert set(links(index)) == pages
