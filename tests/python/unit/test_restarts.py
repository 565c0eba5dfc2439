from pipeserve_native._restarts import Restarts


def test_delays_double_up_to_ten_seconds():
    restarts = Restarts(None)
    delays = [restarts.next(0.0, None) for _ in range(9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_one_that_was_ready_for_a_while_starts_anew():
    restarts = Restarts(None)
    assert restarts.next(0.0, None) == 0.1
    assert restarts.next(10.0, 9.5) == 10.2  # Ready, but for half a second only.
    assert restarts.next(20.0, 11.0) == 20.1


def test_the_limit_counts_ten_minutes():
    restarts = Restarts(2)
    assert restarts.next(0.0, None) is not None
    assert restarts.next(1.0, None) is not None
    assert restarts.next(2.0, None) is None
    assert restarts.next(601.0, None) is not None
    assert restarts.describe_limit() == "2 restarts within 10 minutes"


def test_no_restart_at_all():
    assert Restarts(0).next(0.0, None) is None
