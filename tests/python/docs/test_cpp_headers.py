"""The table of the C++ headers names each of them."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_every_public_header_is_there():
    named = re.findall(r"`(\w+\.h)`", (ROOT / "docs/embedding-cpp.md").read_text("utf-8"))
    headers = [path.name for path in (ROOT / "cpp/include/pipeserve").glob("*.h")]
    assert sorted(named) == sorted(headers)
