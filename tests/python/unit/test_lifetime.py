import signal
import threading

from pipeserve_native import _lifetime


def wake():
    pass


def test_a_stop_on_another_thread_leaves_nothing_for_the_next_start_to_trip_over():
    before = signal.getsignal(signal.SIGTERM)
    _lifetime.on_exit_signal(wake)
    stopping = threading.Thread(target=_lifetime.off_exit_signal, args=(wake,))
    stopping.start()
    stopping.join()
    _lifetime.on_exit_signal(wake)
    _lifetime.off_exit_signal(wake)
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1
