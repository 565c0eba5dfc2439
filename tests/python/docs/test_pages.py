"""Every page of the documents, done as it says, each in an empty folder."""

import functools
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECONDS = 200


@functools.cache
def own_network():
    """What runs a command in a network of its own, so that the ports of the pages are free."""
    prefix = ["unshare", "--map-root-user", "--net"]
    allowed = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if allowed else []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_does_what_it_says(page, start, record_property):
    options = ["--loopback"] if own_network() else []
    command = [sys.executable, ROOT / "tools/run_page", *options, page]
    run = start(*own_network(), *command)
    code = run.wait(SECONDS)
    for line in run.output.splitlines():
        if ": not run: " in line:
            record_property("not run", line)
    assert code == 0, run.output
