"""Every example works as its README says: copied elsewhere, with the installed package."""

import pathlib
import re
import shutil

import console_blocks
import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"
# embed_cpp needs a compiler and the installed C++ package; a test of its own builds it.
FOLDERS = sorted(
    path.parent.name for path in EXAMPLES.glob("*/README.md") if path.parent.name != "embed_cpp"
)


@pytest.mark.parametrize("name", FOLDERS)
def test_an_example_does_what_its_readme_shows(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    commands = console_blocks.commands(folder / "README.md")
    assert commands
    with console_blocks.Shell(folder) as shell:
        try:
            for command in commands:
                shell.run(command)
        except console_blocks.Skipped as reason:
            pytest.skip(str(reason))


def test_every_example_is_listed():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([a-z_]+)\]\(([a-z_]+)/README\.md\)", text, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(
        path.parent.name for path in EXAMPLES.glob("*/README.md")
    )
    assert all(name == link for name, link in listed)
