import pytest

from pipelines.distributed.environment import is_distributed, is_main_process


@pytest.mark.parametrize(
    ("variables", "distributed", "main"),
    [
        ({}, False, True),
        ({"WORLD_SIZE": "1", "RANK": "0"}, False, True),
        ({"WORLD_SIZE": "2", "RANK": "0"}, True, True),
        ({"WORLD_SIZE": "2", "RANK": "1"}, True, False),
        ({"WORLD_SIZE": "2"}, True, True),
        ({"RANK": "1"}, False, True),
    ],
)
def test_the_variables_of_torchrun_tell_the_main_process(
    monkeypatch, variables, distributed, main
):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_distributed() is distributed
    assert is_main_process() is main
