"""docs/embedding-cpp.md shows parts of the example, which `make example-cpp` builds and runs."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOC = (ROOT / "docs/embedding-cpp.md").read_text("utf-8")
EXAMPLE = (ROOT / "examples/embed_cpp/main.cc").read_text("utf-8")


@pytest.mark.parametrize("code", re.findall(r"```cpp\n(.*?)```", DOC, re.DOTALL))
def test_its_code_is_the_example_s(code):
    assert code in EXAMPLE


def test_its_table_names_every_public_header():
    named = re.findall(r"`(\w+\.h)`", DOC)
    headers = {path.name for path in (ROOT / "cpp/include/pipeserve").glob("*.h")}
    assert sorted(named) == sorted(headers)
