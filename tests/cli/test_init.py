"""`s2s init` as a user calls it: its options, its few lines and what comes next."""

import json
import subprocess
import sys
import tomllib

import pytest

from tests.cli.conftest import SETTINGS, write_corpus


def data_of(folder):
    return tomllib.loads((folder / "s2s.toml").read_text(encoding="utf-8"))["data"]


def corpus(folder, name, languages=("de", "en")):
    """Both files of a small corpus, as an option takes them."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.{language}" for language in languages]
    for path in paths:
        path.write_text("a b\nb c\n")
    return paths


# Standard error


def test_the_summary_has_five_lines_and_the_next_command(s2s, tmp_path):
    found = s2s("init", tmp_path / "a demo")
    assert found.out == f"{tmp_path / 'a demo' / 's2s.toml'}\n"
    lines = found.err.splitlines()
    assert len(lines) == 5
    assert "number words en -> fr: 12,000, 500 and 500 pairs" in lines[0]
    assert "655,360 of them recurrent" in lines[1]
    assert "about 12,000 pairs, 3,760 updates in 20 epochs" in lines[2]
    assert "memory: 14.7 MB and unknown activations; disk: 47.0 MB" in lines[3]
    assert lines[4] == f"next: cd '{tmp_path / 'a demo'}'; s2s train"


def test_in_the_current_folder_the_next_command_needs_no_cd(s2s, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = s2s("init")
    assert found.out == "s2s.toml\n"
    assert found.err.splitlines()[-1] == "next: s2s train"


def test_the_next_command_names_missing_settings_first(s2s, tmp_path):
    found = s2s("init", "--recipe", "paper", tmp_path)
    for number in ("384,000,000", "64,000,000", "384,136,000", "data.train is not set"):
        assert number in found.err
    settings = tmp_path / "s2s.toml"
    assert found.err.splitlines()[-1] == (
        f"next: set data.train and data.valid in {settings}, then: cd {tmp_path}; "
        "s2s train"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["s2s.toml"]


def test_a_quiet_init_says_nothing_and_a_log_for_machines_has_the_same_lines(
    s2s, tmp_path
):
    assert s2s("init", "-q", "--recipe", "paper", tmp_path / "a").err == ""
    found = s2s("init", "--log-format", "json", "--recipe", "paper", tmp_path / "b")
    messages = [json.loads(line)["message"] for line in found.err.splitlines()]
    assert [message.partition(":")[0] for message in messages] == [
        "parameters",
        "training",
        "memory",
        "next",
    ]


def test_a_project_can_be_made_where_it_cannot_be_trained(s2s, tmp_path):
    found = s2s("init", "--set", "train.device=cuda:99", tmp_path / "a")
    assert found.status == 0
    assert "no estimate of the training: device cuda:99" in found.err
    assert "next: " in found.err


# Options


def test_languages_have_two_names_and_are_read_from_the_files(s2s, tmp_path):
    train = corpus(tmp_path / "text", "train")
    found = s2s("init", "--train", *train, tmp_path / "a")
    assert "languages from the file names: de -> en" in found.err
    options = ["--src", "cs", "--tgt", "pl"]
    found = s2s("init", *options, "--train", *train, tmp_path / "b")
    assert "-s cs, but the name" in found.err
    for name, languages in (("a", ("de", "en")), ("b", ("cs", "pl"))):
        data = data_of(tmp_path / name)
        assert (data["source_lang"], data["target_lang"]) == languages


def test_moses_asks_for_languages_that_the_names_do_not_give(s2s, tmp_path):
    train = corpus(tmp_path / "text", "train", ("src", "tgt"))
    found = s2s("init", "--train", *train, tmp_path / "a")
    assert found.status == 2
    assert "hint: add -s CODE -t CODE, such as -s de -t en" in found.err
    assert not (tmp_path / "a").exists()
    settings = ["--set", "preprocess.tokenizer=characters"]
    assert s2s("init", "--train", *train, *settings, tmp_path / "a").status == 0
    assert data_of(tmp_path / "a")["source_lang"] == "und"


def test_training_and_validation_take_several_corpora(s2s, tmp_path):
    text = tmp_path / "text"
    names = [corpus(text, name) for name in ("a", "b", "v", "w", "t")]
    options = ("--train", "--train", "--valid", "--valid", "--test")
    arguments = [arg for o, n in zip(options, names, strict=True) for arg in (o, *n)]
    assert s2s("init", *arguments, tmp_path / "p").status == 0
    data = data_of(tmp_path / "p")
    files = [[str(path) for path in pair] for pair in names]
    assert (data["train"], data["valid"], data["test"]) == (
        files[:2],
        files[2:4],
        files[4],
    )
    shown = s2s("config", "show", "-d", tmp_path / "p").out
    assert f'train = [["{files[0][0]}", "{files[0][1]}"], ["' in shown


def test_there_is_one_test_set(s2s, tmp_path):
    pairs = corpus(tmp_path / "text", "a")
    found = s2s("init", "--test", *pairs, "--test", *pairs, tmp_path / "p")
    assert found.status == 2
    assert "there is one test set" in " ".join(found.err.split())
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("option", ["--train", "--valid", "--test"])
def test_an_option_for_pairs_takes_two_files(s2s, tmp_path, option):
    found = s2s("init", option, tmp_path / "a.de")
    assert found.status == 2
    assert "requires 2 arguments" in found.err


@pytest.mark.slow
def test_a_project_of_two_corpora_trains_and_scores(s2s, tmp_path):
    counts = (("train", 60), ("valid", 6), ("test", 4))
    data = write_corpus(tmp_path / "data", counts)
    more = write_corpus(tmp_path / "more", (("train", 30), ("valid", 3)))
    pairs = [
        arg
        for split, folders in (
            ("train", (data, more)),
            ("valid", (data, more)),
            ("test", (data,)),
        )
        for folder in folders
        for arg in (f"--{split}", folder / f"{split}.xx", folder / f"{split}.yy")
    ]
    quick = ("train.max_steps=4", "model.cells=8", "train.valid_bleu=true")
    sets = [arg for text in (*SETTINGS, *quick) for arg in ("--set", text)]
    project = tmp_path / "project"
    assert s2s("init", *pairs, *sets, project).status == 0
    assert s2s("run", "-d", project).status == 0
    counts = json.loads((project / "preprocess" / "manifest.json").read_text())
    assert counts["counts"]["train"]["read"] == 90
    assert counts["counts"]["valid"]["read"] == 9
    again = s2s("run", "-d", project)
    assert "up to date" in again.err
    estimate = s2s("train", "--dry-run", "--json", "-d", project)
    assert json.loads(estimate.out)["epoch"]["pairs"] == 90
    report = s2s("score", "--split", "valid", "--json", "-d", project)
    assert json.loads(report.out)["num_lines"] == 9


# Existing files


def test_own_text_survives_a_bare_init(s2s, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus(tmp_path / "data", "train", ("en", "fr"))
    before = (tmp_path / "data" / "train.en").read_bytes()
    for options in ([], ["--force"]):
        found = s2s("init", *options)
        assert found.status == 2
        assert "data/train.en, data/train.fr" in found.err
        assert "s2s init --train data/train.en data/train.fr" in found.err
        assert (tmp_path / "data" / "train.en").read_bytes() == before
        assert not (tmp_path / "s2s.toml").exists()


def test_force_keeps_the_old_settings(s2s, tmp_path):
    assert s2s("init", tmp_path).status == 0
    assert s2s("init", tmp_path).status == 2
    found = s2s("init", "--force", "--set", "train.seed=9", tmp_path)
    assert found.status == 0
    assert f"the old settings are in {tmp_path / 's2s.toml.bak'}" in found.err
    assert "s2s.toml.bak" in s2s("init", "--help").out


def test_help_needs_no_number_words(tmp_path):
    code = (
        "import sys; from s2scli.main import app\n"
        "try: app(['init', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'num2words', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
