import pytest

from pipelines.progress import SILENT


def test_a_silent_task_takes_any_figures_and_prints_nothing(capsys):
    with SILENT.task("train", total=3, unit="steps") as task:
        task.advance()
        task.advance(2, loss="1.0", speed="9 words/s")
    assert capsys.readouterr() == ("", "")


def test_an_error_leaves_a_silent_task():
    with pytest.raises(KeyError), SILENT.task("train"):
        raise KeyError
