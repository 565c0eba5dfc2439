"""Options of the server that hostile values do not reach."""

import re

import pytest

from pipeserve_native import InvalidArgumentError, server


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_inflight": 0}, "Parameter 'max_inflight' should be in range [1,1024]"),
        ({"max_inflight": True}, "Parameter 'max_inflight' should be int"),
        ({"max_enqueued_bytes": 0}, "Parameter 'max_enqueued_bytes' should be in range [1,"),
        ({"max_enqueued_bytes": 1 << 70}, "Parameter 'max_enqueued_bytes' should be in range [1,"),
        ({"max_enqueued_bytes": 1.5}, "Parameter 'max_enqueued_bytes' should be int"),
        ({"max_request_seconds": -1}, "Parameter 'max_request_seconds' should be in range [0.001,"),
        ({"max_request_seconds": float("nan")}, "Parameter 'max_request_seconds' should be in"),
        ({"max_request_seconds": True}, "Parameter 'max_request_seconds' should be int or float"),
    ],
)
def test_values_out_of_range_are_refused(options, text):
    with pytest.raises(InvalidArgumentError, match=f"^{re.escape(text)}"):
        server.configure(**options)
