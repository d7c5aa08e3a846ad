import json
import os
import signal
import threading
import time

import pytest
import torch

from pipelines.distributed.launcher import launch, require_gpus
from pipelines.errors import PeerError, UsageError


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Launches a module with the given source."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def launch_source(source, *arguments, num_processes=2, **options):
        header = f"import json, os, signal, sys, time\nfolder = {str(tmp_path)!r}\n"
        header += "rank = os.environ['RANK']\n"
        (tmp_path / "launched.py").write_text(header + source)
        return launch("launched", arguments, num_processes=num_processes, **options)

    return launch_source


def test_each_process_gets_the_arguments_and_its_rank(run, tmp_path):
    assert (
        run(
            "with open(f'{folder}/{rank}.json', 'w') as file:\n"
            "    json.dump([sys.argv[1:], dict(os.environ)], file)\n",
            *("--option", "a value"),
            num_processes=3,
        )
        == 0
    )
    ports = set()
    for rank in range(3):
        arguments, environment = json.loads((tmp_path / f"{rank}.json").read_text())
        assert arguments == ["--option", "a value"]
        assert environment["WORLD_SIZE"] == "3"
        assert environment["LOCAL_RANK"] == str(rank)
        assert environment["MASTER_ADDR"] == "127.0.0.1"
        threads = max(1, (os.cpu_count() or 1) // 3)
        assert environment["OMP_NUM_THREADS"] == str(threads)
        ports.add(environment["MASTER_PORT"])
    assert len(ports) == 1


def test_the_users_number_of_threads_wins(run, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run("open(f'{folder}/{os.environ[\"OMP_NUM_THREADS\"]}', 'w').close()")
    assert (tmp_path / "7").exists()


def test_a_failure_is_returned_and_ends_the_others(run):
    assert run("sys.exit(3) if rank == '1' else time.sleep(60)", grace_s=0.1) == 3


def test_a_killed_process_is_named_before_those_that_failed_because_of_it(run):
    source = "os.kill(os.getpid(), 9) if rank == '1' else sys.exit(1)"
    with pytest.raises(PeerError, match="process 2 of 2 was ended by SIGKILL"):
        run(source)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_forwarded_and_handlers_restored(run, tmp_path, number):
    def send_when_ready():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if all((tmp_path / rank).exists() for rank in "01"):
                os.kill(os.getpid(), number)
                return
            time.sleep(0.01)

    before = signal.getsignal(number)
    thread = threading.Thread(target=send_when_ready)
    thread.start()
    status = run(
        f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n"
        "open(f'{folder}/{rank}', 'w').close()\n"
        "time.sleep(60)\n"
    )
    thread.join()
    assert status == 5
    assert signal.getsignal(number) == before


def test_packages_in_the_current_folder_are_not_launched(run, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "launched.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(elsewhere)
    assert run("") == 0


def test_any_number_of_processes_runs_on_the_cpu():
    require_gpus(64, "cpu")


@pytest.mark.parametrize(
    ("num_gpus", "device", "is_enough"),
    [(2, "auto", True), (2, "cuda", True), (1, "auto", False), (2, "cuda:1", False)],
)
def test_each_process_needs_a_gpu_of_its_own(monkeypatch, num_gpus, device, is_enough):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    if is_enough:
        require_gpus(2, device)
        return
    with pytest.raises(UsageError, match="--num-gpus 2") as caught:
        require_gpus(2, device)
    assert "--device cpu" in caught.value.hint
