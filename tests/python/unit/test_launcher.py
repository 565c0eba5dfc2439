from types import SimpleNamespace

from pipeserve_native import _launcher


def command_of_first(threads):
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
        on_agent_failure="restart",
        max_restarts=None,
        heartbeat=1.0,
        dead_after=3.0,
    )
    place = _launcher._Place("127.0.0.1", [2, 3], [0, 1])
    config = SimpleNamespace(rank_size=4)
    return _launcher._commands(request, place, config)[2]


def test_agents_share_the_cores_among_those_of_this_machine():
    command = command_of_first(None)
    assert command[command.index("--local-ranks") + 1] == "2"
    assert "--threads" not in command


def test_threads_that_are_asked_for_are_handed_on():
    command = command_of_first(3)
    assert command[command.index("--threads") + 1] == "3"
