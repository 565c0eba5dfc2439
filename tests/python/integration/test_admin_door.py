"""The admin door with actions in Python, over HTTP."""

import http.client
import json
import threading

import pytest

from pipeserve_native import InvalidArgumentError, _core

LIMIT_SECONDS = 30


@pytest.fixture
def server():
    server = _core.Server(
        max_inflight=1, max_enqueued_requests=10, max_enqueued_bytes=1 << 20, max_request_seconds=0
    )
    yield server
    server.stop()


def open_door(server, action):
    actions = _core.instance_function(action, "operate", 1)
    return server.start_admin("127.0.0.1:0", actions)


def ask(address, method, path, body=None):
    """The HTTP status and the JSON of an answer."""
    connection = http.client.HTTPConnection(address, timeout=LIMIT_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_an_action_is_a_function_of_three_strings(server):
    def operate(action, servable, options):
        assert all(type(each) is str for each in (action, servable, options))
        return json.dumps({"did": [action, servable, json.loads(options)]})

    address = open_door(server, operate)
    assert ask(address, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask(address, "GET", "/v2/status")[0] == 200
    models = "/v2/repository/models"
    did = ["switch", "my model", {"version": 2}]
    answer = ask(address, "POST", f"{models}/my%20model/switch", '{"version": 2}')
    assert answer == (200, {"did": did})
    assert ask(address, "POST", f"{models}/add/load") == (200, {"did": ["load", "add", {}]})


def test_an_exception_is_an_error_of_the_action(server):
    def operate(action, servable, options):
        raise InvalidArgumentError(f"{servable} has no version {json.loads(options)['version']}")

    address = open_door(server, operate)
    status, answer = ask(address, "POST", "/v2/repository/models/add/load", '{"version": 7}')
    assert status == 400
    assert "add has no version 7" in answer["error"]
    assert ask(address, "POST", "/v2/repository/models/add/load", "{")[0] == 400
    assert ask(address, "PUT", "/v2/status")[0] == 405


def test_stopping_waits_for_the_action_that_runs(server):
    began, may_end = threading.Event(), threading.Event()

    def operate(action, servable, options):
        began.set()
        assert may_end.wait(LIMIT_SECONDS)
        return "{}"

    address = open_door(server, operate)
    answers = []
    path = "/v2/repository/models/add/load"
    client = threading.Thread(target=lambda: answers.append(ask(address, "POST", path)))
    client.start()
    assert began.wait(LIMIT_SECONDS)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    may_end.set()
    stopper.join(LIMIT_SECONDS)
    client.join(LIMIT_SECONDS)
    assert not stopper.is_alive()
    assert answers == [(200, {})]


def test_it_opens_once_and_needs_actions(server):
    with pytest.raises(TypeError):
        server.start_admin("127.0.0.1:0", None)
    open_door(server, lambda *_: "{}")
    with pytest.raises(RuntimeError, match="admin server is already running"):
        open_door(server, lambda *_: "{}")
