"""What a Markdown page has its reader do: the fenced blocks, in order."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

RUN = ("console", "python", "pycon")
_EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
_NOT_RUN = re.compile(r"<!--\s*not run:\s*(.+?)\s*-->", re.DOTALL)
_FILE_NAME = re.compile(r"(Add to )?`([\w./-]+\.\w+)`:$")


class PageError(Exception):
    """A page that does not say what is to be done with one of its blocks."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block. At most one of ``file`` and ``reason`` is given."""

    line: int
    language: str
    text: str
    file: str | None
    """The file that holds the text, if the line before the block ends with its name and a colon."""
    adds: bool
    """The text comes at the end of the file, whose name stands after "Add to"."""
    reason: str | None
    """Why it is not run, from a comment ``<!-- not run: ... -->`` before it."""


@functools.cache
def _examples() -> list[str]:
    files = [path for path in _EXAMPLES.rglob("*") if path.suffix in (".cc", ".py", ".txt")]
    return [path.read_text(encoding="utf-8") for path in files]


def _is_quoted(text: str) -> bool:
    """It stands as it is in an example, which has tests of its own."""
    return any(text in example for example in _examples())


def _reason(tokens: list[Token], index: int) -> str | None:
    if index == 0 or tokens[index - 1].type != "html_block":
        return None
    match = _NOT_RUN.fullmatch(tokens[index - 1].content.strip())
    return match and " ".join(match[1].split())


def _file(tokens: list[Token], index: int) -> tuple[str | None, bool]:
    if index == 0 or tokens[index - 1].type != "paragraph_close":
        return None, False
    match = _FILE_NAME.search(tokens[index - 2].content)
    return match and match[2], bool(match and match[1])


def _block(tokens: list[Token], index: int) -> Block:
    token = tokens[index]
    assert token.map is not None  # Blocks have lines.
    file, adds = _file(tokens, index)
    reason = _reason(tokens, index)
    language = token.info.split()[0] if token.info.strip() else ""
    block = Block(token.map[0] + 1, language, token.content, file, adds, reason)
    if not (file or reason or language in RUN or language == "text" or _is_quoted(block.text)):
        raise PageError(
            f"line {block.line}: a block of '{language}' should run ({', '.join(RUN)}), be plain "
            "'text', be a file whose name stands before it, be part of an example, or have the "
            "comment <!-- not run: why --> before it"
        )
    return block


def read(markdown: str) -> list[Block]:
    """The blocks of a page. Raises PageError for one of which nobody knows what it is for."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [_block(tokens, i) for i, token in enumerate(tokens) if token.type == "fence"]
