"""The messages that operations.md explains are those of the sources."""

import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
OF_GRPC = {"Received message larger than max"}


@functools.cache
def sources():
    files = [*(ROOT / "cpp").rglob("*.cc"), *(ROOT / "python").rglob("*.py")]
    text = "\n".join(file.read_text("utf-8") for file in files)
    return re.sub(r'"\s*f?"', "", text)  # Literals that are written in pieces.


def messages():
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    table = page[page.index("## What an error means") :]
    for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row)


@pytest.mark.parametrize("message", sorted(set(messages()) - OF_GRPC))
def test_is_in_the_sources(message):
    pieces = [piece.strip(" '.") for piece in message.split("…")]
    assert sum(map(len, pieces)) >= 10, "too little to find it by"
    text = sources()
    for piece in pieces:
        assert piece in text, piece
