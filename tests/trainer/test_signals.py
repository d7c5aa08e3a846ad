import os
import signal
from threading import Thread

import pytest

from pipelines.errors import Interrupted
from pipelines.trainer.signals import receive_signals


def test_the_first_signal_is_noted_and_the_second_stops_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with receive_signals() as requests:
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.stop_signal == signal.SIGTERM
        with pytest.raises(Interrupted, match="at once") as caught:
            os.kill(os.getpid(), signal.SIGINT)
        assert caught.value.exit_status == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigusr1_requests_one_checkpoint():
    with receive_signals() as requests:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requests.pop_save()
        assert not requests.pop_save()
        assert requests.stop_signal is None


def test_outside_the_main_thread_no_handler_is_installed():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with receive_signals() as requests:
            seen.append((requests.stop_signal, signal.getsignal(signal.SIGINT)))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(None, before)]
