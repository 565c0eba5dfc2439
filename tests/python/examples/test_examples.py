"""Every example works as its README says: copied elsewhere, with the installed package."""

import pathlib
import re

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"
SECONDS = 200
# embed_cpp needs the installed C++ package; a test of its own builds it.
FOLDERS = sorted(
    path.parent.name for path in EXAMPLES.glob("*/README.md") if path.parent.name != "embed_cpp"
)


@pytest.mark.parametrize("name", FOLDERS)
def test_an_example_does_what_its_readme_shows(name, run_page):
    folder = EXAMPLES / name
    run = run_page(folder / "README.md", "--folder", folder)
    code = run.wait(SECONDS)
    assert code == 0, run.output
    if skipped := re.search("^line [0-9]+: skipped: (.+)", run.output, re.MULTILINE):
        pytest.skip(skipped[1])


def test_every_example_is_listed():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([a-z_]+)\]\(([a-z_]+)/README\.md\)", text, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(
        path.parent.name for path in EXAMPLES.glob("*/README.md")
    )
    assert all(name == link for name, link in listed)
