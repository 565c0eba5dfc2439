"""The supervision of agents, on programs that play them."""

import os
import signal
import sys
import threading
import time

import pytest

from pipeserve_native import InvalidArgumentError
from pipeserve_native._agents import Agents, OnFailure, Supervision
from pipeserve_native._processes import LinePipe
from pipeserve_native.server import distributed, register

PLAYED = f"""#!{sys.executable}
import os
import sys

flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open(sys.argv[0] + ".pids", "a") as file:
    print(os.getpid(), file=file)
os.write(int(flags["--status-fd"]), b'{{"state": "ready"}}\\n')
os.read(int(flags["--launcher-fd"]), 1)
"""
LIMIT_SECONDS = 30


class Notes:
    """What the supervision logs and decides, to be waited for."""

    def __init__(self):
        self._changed = threading.Condition()
        self._lines = []

    def add(self, line):
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def wait_for(self, text, count=1):
        def has_come():
            return sum(text in line for line in self._lines) >= count

        with self._changed:
            assert self._changed.wait_for(has_come, LIMIT_SECONDS), (text, self._lines)


@pytest.fixture
def notes(monkeypatch):
    kept = Notes()
    for level in ("info", "warning", "error"):
        monkeypatch.setattr(
            f"pipeserve_native._agents._logger.{level}",
            lambda text, *values: kept.add(text % values),
        )
    return kept


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "agent"
    path.write_text(PLAYED)
    path.chmod(0o700)
    return path


def pids(program):
    return [int(line) for line in program.with_name("agent.pids").read_text().split()]


def run(program, notes, **options):
    agents = Agents({3: [str(program)]}, None, Supervision(give_up=notes.add, **options))
    agents.start()
    agents.watch(keep_process=False)
    return agents


def test_an_agent_that_cannot_be_started_again_is_tried_later(program, notes):
    agents = run(program, notes, heartbeat=30.0, dead_after=90.0)
    away = program.rename(program.with_name("away"))
    os.kill(pids(program)[0], signal.SIGKILL)
    notes.wait_for("agent of rank 3 ended with exit code -9, starting it again in 0.1 s")
    notes.wait_for("agent of rank 3 cannot be started: ")
    away.rename(program)
    notes.wait_for("starting it again", count=2)
    end = time.monotonic() + LIMIT_SECONDS
    while len(pids(program)) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    agents.stop()


def test_an_agent_that_can_never_be_started_again_ends_the_supervision(program, notes):
    agents = run(program, notes, heartbeat=30.0, dead_after=90.0, max_restarts=2)
    program.unlink()
    os.kill(pids(program)[0], signal.SIGKILL)
    notes.wait_for("agent of rank 3 cannot be started: ", count=2)
    notes.wait_for("after 2 restarts within 10 minutes")
    agents.stop()


def test_stop_ends_the_others(program, notes):
    agents = run(program, notes, on_failure=OnFailure.STOP, heartbeat=30.0, dead_after=90.0)
    os.kill(pids(program)[0], signal.SIGKILL)
    notes.wait_for("Child 0 ended with exit code -9, ending its siblings")
    agents.stop()


def test_lines_come_whole_and_long_ones_in_pieces():
    reader, writer = os.pipe()
    pipe = LinePipe(reader)
    assert list(pipe.read()) == []
    os.write(writer, b"one\ntw")
    assert list(pipe.read()) == [b"one"]
    os.write(writer, b"o\n\n")
    assert list(pipe.read()) == [b"two", b""]
    assert pipe.is_open
    sender = threading.Thread(
        target=lambda: (os.write(writer, b"x" * (17 << 20)), os.close(writer))
    )
    sender.start()
    pieces = []
    while pipe.is_open:
        pieces += pipe.read()
    sender.join()
    pipe.close()
    assert len(pieces) == 1 and len(pieces[0]) > 1 << 24


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"heartbeat_in_seconds": 0}, "'heartbeat_in_seconds' should be >= 0.01"),
        ({"dead_after_in_seconds": 1.0}, "'dead_after_in_seconds' should be more than"),
        ({"dead_after_in_seconds": 90_000}, "at most a day"),
        ({"on_agent_failure": "ignore"}, "on_agent_failure"),
    ],
)
def test_times_and_policies_are_checked(options, text):
    with pytest.raises(InvalidArgumentError, match=text):
        distributed.start_servable("directory", "name", "table.json", **options)
    with pytest.raises(InvalidArgumentError, match=text):
        distributed.startup_agents("127.0.0.1:1", ["a.mindir"], **options)


def test_more_that_is_checked():
    with pytest.raises(InvalidArgumentError, match=r"in range \[0, 86400\]"):
        distributed.start_servable("d", "n", "t", failover_timeout_in_seconds=-1)
    with pytest.raises(InvalidArgumentError, match="max_restarts"):
        distributed.startup_agents("127.0.0.1:1", ["a.mindir"], max_restarts=-1)
    with pytest.raises(InvalidArgumentError, match="replayable"):
        register.register_pipeline("y", replayable=1)
