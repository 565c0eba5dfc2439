"""Ports and limits that operations.md names are those of the command."""

import pathlib
import re

import pytest

from pipeserve_native import _cli

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/operations.md"
UNITS = {"GiB": 1 << 30, "MB": 1, "s": 1}


def defaults():
    serve = _cli._parser().parse_args(["serve", "DIR"])
    agent = _cli._parser().parse_args(["agent", "ADDRESS", "--models", "DIR"])
    return {**vars(agent), **vars(serve)}


def section(title):
    return PAGE.read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]


def destination(option):
    return option.removeprefix("--").replace("-", "_")


PORTS = re.findall(r"^\| (\d+)[^|]*\|.*`(--[\w-]+)`", section("Ports"), re.MULTILINE)
LIMITS = re.findall(
    r"^\| [^|]+\| ([\d ]+\w*|none) \| `(--[\w-]+)`",
    section("Limits and their defaults"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("port", "option"), PORTS)
def test_port(port, option):
    assert str(defaults()[destination(option)]).rpartition(":")[2] == port


@pytest.mark.parametrize(("value", "option"), LIMITS)
def test_limit(value, option):
    number, _, unit = value.partition(" ")
    wanted = None if value == "none" else int(number) * UNITS.get(unit, 1)
    assert defaults()[destination(option)] == wanted


def test_the_tables_were_read():
    assert (len(PORTS), len(LIMITS)) == (5, 8)
