"""The tables of states that the documents show are those of the code."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
HEADER = ROOT / "cpp/src/agent/group_state.h"
PAGE = ROOT / "docs/reliability.md"


def words(name):
    """kEpochEnds -> "epoch ends"."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", name.removeprefix("k")).lower()


def rows_of_code(table):
    source = HEADER.read_text(encoding="utf-8")
    body = re.search(rf"{table}\[\] = \{{(.*?)\}};", source, re.DOTALL).group(1)
    return [
        tuple(words(name.rpartition("::")[2]) for name in re.findall(r"\w+::k\w+", row))
        for row in re.findall(r"\{(.*?)\}", body)
    ]


def rows_of_page(heading):
    lines = PAGE.read_text(encoding="utf-8").split(f"| {heading} |", 1)[1].split("\n\n")[0]
    return [tuple(cell.strip() for cell in row.split("|")[1:4]) for row in lines.split("\n")[2:]]


def test_states_of_a_group():
    assert rows_of_page("group is | when | it becomes") == rows_of_code("kGroupTransitions")


def test_states_of_a_rank():
    assert rows_of_page("rank is | when it | it becomes") == rows_of_code("kRankTransitions")
