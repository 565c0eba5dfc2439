"""Checks that a built site needs nothing from elsewhere: it must work without a network.

python tools/check_site.py build/site
"""

from __future__ import annotations

import pathlib
import sys
from html.parser import HTMLParser

_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src"}


class _Page(HTMLParser):
    """What a browser fetches to show the page; links that a reader may follow are no part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the element loads from another host."""
        source = dict(attrs).get(_LOADED.get(tag, "")) or ""
        if source.startswith(("http:", "https:", "//")):
            self.foreign.append(source)


def main() -> int:
    """Names what is loaded from elsewhere; 1 if anything is, or if there is no site."""
    pages = sorted(pathlib.Path(sys.argv[1]).rglob("*.html"))
    found = 0 if pages else 1
    for path in pages:
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        for source in page.foreign:
            print(f"{path} loads {source}", file=sys.stderr)
            found = 1
    return found


if __name__ == "__main__":
    sys.exit(main())
