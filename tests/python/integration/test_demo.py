"""What a newcomer does first: the demo, as `make demo` runs it."""

import os
import pathlib
import signal
import sys

import pytest

DEMO = pathlib.Path(__file__).resolve().parents[3] / "tools/demo.py"


def processes_below(folder):
    """Processes whose command line names something in `folder`."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command:
            found.append(command.replace("\0", " "))
    return found


@pytest.fixture
def demo(start, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return start(sys.executable, DEMO)


def assert_nothing_is_left(tmp_path):
    assert processes_below(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_shows_the_specified_result(demo, tmp_path):
    assert demo.wait() == 0, demo.output
    assert "-96., -96." in demo.output
    assert "-144., -144." in demo.output
    assert "A second call took" in demo.output
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("moment", ["Writing two graphs", "Starting the server", "second call"])
def test_ctrl_c_leaves_nothing(demo, tmp_path, moment):
    demo.wait_for(moment)
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() in (0, 130), demo.output
    assert_nothing_is_left(tmp_path)
