"""Options that several commands share: layers of settings, and signatures."""

import inspect
from pathlib import Path

import pytest

from pipelines.errors import ConfigError, MissingArtifactError, UsageError
from s2scli.console import LogFormat
from s2scli.options import Request, Workers, refuse_if, with_common_options


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s2s.toml").write_text('recipe = "small"\n[translate]\nbeam = 3\n')
    return tmp_path


def test_a_flag_is_stronger_than_set_and_keeps_its_type(folder):
    request = Request(folder, ("translate.beam=5", "train.betas=[0.8, 0.9]"))
    project = request.project({"translate.beam": 7, "translate.length_penalty": "0.5"})
    assert project.config.translate.beam == 7
    assert project.config.translate.length_penalty == 0.5
    assert project.config.train.betas == (0.8, 0.9)
    assert project.loaded.origins["translate.beam"] == "--beam"
    assert project.layout.root == folder


def test_a_flag_is_not_parsed_as_toml(folder):
    flags = {"translate.unk": '"copy"'}
    with pytest.raises(ConfigError, match='--unk "copy": expected'):
        Request(folder, ()).project(flags)


def test_a_flag_of_none_sets_nothing(folder):
    flags = {"translate.beam": None, "train.device": None}
    project = Request(folder, ()).project(flags)
    assert project.config.translate.beam == 3
    assert project.loaded.origins["translate.beam"] == "s2s.toml"


def test_settings_need_no_project_but_use_one(folder, tmp_path_factory):
    assert Request(folder, ()).settings().translate.beam == 3
    elsewhere = Request(tmp_path_factory.mktemp("empty"), ("translate.beam=2",))
    assert elsewhere.settings().translate.beam == 2
    with pytest.raises(MissingArtifactError):
        elsewhere.project()


def test_variables_are_stronger_than_the_file(folder, monkeypatch):
    monkeypatch.setenv("S2S_TRANSLATE__BEAM", "9")
    assert Request(folder, ()).project().config.translate.beam == 9


def test_a_command_gets_the_common_options_after_its_own():
    calls = []

    @with_common_options
    def command(request: Request, workers: Workers = None) -> None:
        """Do it."""
        calls.append((request, workers))

    names = list(inspect.signature(command).parameters)
    assert names[0] == "workers"
    assert names[1:] == ["folder", "overrides", "quiet", "verbose", "log_format"]
    assert command.__doc__ == "Do it."
    common = {"quiet": True, "verbose": False, "log_format": LogFormat.TEXT}
    command(workers=2, folder=Path("x"), overrides=["train.seed=1"], **common)
    command(workers=None, folder=Path("y"), overrides=None, **common)
    assert calls == [
        (Request(Path("x"), ("train.seed=1",)), 2),
        (Request(Path("y"), ()), None),
    ]


def test_contradicting_options_are_refused_with_a_hint():
    refuse_if(False, "no", "nothing")
    with pytest.raises(UsageError, match="--a and --b") as caught:
        refuse_if(True, "--a and --b contradict each other", "leave one out")
    assert caught.value.hint == "leave one out"
