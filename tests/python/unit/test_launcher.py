import json
from pathlib import Path

import pytest

import pipeserve_native
from pipeserve_native import _launcher


def command_of_first(threads, rank_table=None, overlap=False):
    request = _launcher.Request(
        door=_launcher.Door(address="127.0.0.1:6200", ssl=None, token="", token_file=None),
        model_files=[["a.mindir"], ["b.mindir"]],
        group_config_files=None,
        agent_start_port=7000,
        agent_ip=None,
        rank_start=None,
        key=None,
        mode="AES-GCM",
        threads=threads,
        collectives="auto",
        device="auto",
        precision="strict",
        deterministic=False,
        overlap=overlap,
        on_agent_failure="restart",
        max_restarts=None,
        heartbeat=1.0,
        dead_after=3.0,
        hccl="root-info",
    )
    place = _launcher._Place("127.0.0.1", [2, 3], [0, 1])
    return _launcher._commands(request, place, rank_size=4, rank_table=rank_table)[2]


def test_agents_share_the_cores_among_those_of_this_machine():
    command = command_of_first(None)
    assert command[command.index("--local-ranks") + 1] == "2"
    assert "--threads" not in command


def test_threads_that_are_asked_for_are_handed_on():
    command = command_of_first(3)
    assert command[command.index("--threads") + 1] == "3"


def test_overlap_is_asked_for_by_a_flag():
    assert "--overlap" in command_of_first(None, overlap=True)
    assert "--overlap" not in command_of_first(None)


def test_a_rank_table_is_handed_on():
    assert "--rank-table" not in command_of_first(None)
    command = command_of_first(None, "/tmp/table.json")
    assert command[command.index("--rank-table") + 1] == "/tmp/table.json"


def test_the_rank_table_for_hccl_says_that_it_is_complete():
    table = {"version": "1.0", "server_count": "1", "server_list": [{"server_id": "10.0.0.1"}]}
    path = Path(_launcher._write_rank_table(json.dumps(table)))
    try:
        assert json.loads(path.read_text()) == {**table, "status": "completed"}
    finally:
        path.unlink()


@pytest.mark.parametrize(
    "table", [{"version": "1.2", "server_list": []}, {"group_list": []}, {"version": "1.0"}]
)
def test_a_rank_table_that_hccl_does_not_take_is_refused(table):
    with pytest.raises(pipeserve_native.FailedPreconditionError, match=r"of version 1\.0"):
        _launcher._write_rank_table(json.dumps(table))
