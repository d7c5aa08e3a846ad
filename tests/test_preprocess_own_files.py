"""Preprocessing with the user's own vocabularies and SentencePiece models."""

import logging

import pytest

from pipelines import preprocess
from pipelines.artifacts.vocab import SPECIALS
from pipelines.errors import ConfigError, CorpusError
from pipelines.project.stages import identity
from pipelines.project.status import StageState, stage_status
from pipelines.text.tokenizers.sentencepiece_model import (
    SentencePieceTokenizer,
    train_sentencepiece,
)
from tests.small_corpus import (
    AfterTask,
    make_project,
    preprocess_project,
    text_lines,
    write_lines,
)


@pytest.fixture
def own_files(tmp_path):
    """Files of a project, and the settings that name them."""
    write_lines(tmp_path / "words.txt", ["cat", ".", "never", "The"])
    write_lines(tmp_path / "mots.tsv", ["chat\t9", "</s>\t3", ".\t1"])
    model = train_sentencepiece(["Le chat dort, vite !"] * 9, kind="bpe", vocab_size=30)
    (tmp_path / "fr.model").write_bytes(model)
    return {"source_vocab": "words.txt", "target_vocab": "mots.tsv"}


def test_own_vocabularies_are_used_as_they_are(tmp_path, own_files):
    _, _, pipeline = preprocess_project(
        tmp_path, min_count=9, source_vocab_size=4, **own_files
    )
    assert pipeline.source_vocab.tokens == (*SPECIALS, "cat", ".", "never", "The")
    assert pipeline.source_vocab.counts[3:] == (3, 9, 0, 3)
    assert pipeline.target_vocab.tokens == (*SPECIALS, "chat", ".")
    assert pipeline.source_ids("The cat sleeps .") == [4, 1, 3, 6, 2]


def test_an_own_model_is_used_as_it_is(tmp_path, own_files, caplog):
    own = {"target_tokenizer": "sentencepiece", "target_sentencepiece": "fr.model"}
    with caplog.at_level(logging.INFO):
        _, layout, _ = preprocess_project(tmp_path, **own)
    model = (tmp_path / "fr.model").read_bytes()
    assert (layout.preprocess / "text" / "target.spm").read_bytes() == model
    assert "SentencePiece: target side: 30 pieces of fr.model" in caplog.messages
    tokens = text_lines(layout.preprocess / "valid.00000.tgt")[0].split(" ")
    assert tokens[:2] == SentencePieceTokenizer(model).tokenize("Le chat")


def test_one_own_model_and_one_that_is_trained(tmp_path, own_files):
    own = {"tokenizer": "sentencepiece", "target_sentencepiece": "fr.model"}
    _, layout, _ = preprocess_project(tmp_path, sentencepiece_vocab_size=40, **own)
    model = (tmp_path / "fr.model").read_bytes()
    text = layout.preprocess / "text"
    assert (text / "target.spm").read_bytes() == model
    assert (text / "source.spm").read_bytes() != model


def test_an_own_model_may_serve_both_sides(tmp_path, own_files):
    own = {"sentencepiece_joint": True, "source_sentencepiece": "fr.model"}
    _, layout, _ = preprocess_project(tmp_path, tokenizer="sentencepiece", **own)
    text = layout.preprocess / "text"
    model = (tmp_path / "fr.model").read_bytes()
    assert (text / "source.spm").read_bytes() == model
    assert (text / "target.spm").read_bytes() == model


@pytest.mark.parametrize("name", ["words.txt", "mots.tsv"])
def test_a_changed_file_makes_the_stage_stale(tmp_path, own_files, name):
    config, layout = make_project(tmp_path, **own_files)
    preprocess.run(config, layout)
    assert stage_status("preprocess", config, layout).state is StageState.FRESH
    (tmp_path / name).write_text("cat\nchat\n")
    status = stage_status("preprocess", config, layout)
    assert status.state is StageState.STALE
    role = {"words.txt": "source", "mots.tsv": "target"}[name]
    assert status.reason == f"preprocess.{role}_vocab changed"


def test_a_changed_model_makes_the_stage_stale(tmp_path, own_files):
    own = {"tokenizer": "sentencepiece", "source_sentencepiece": "fr.model"}
    config, layout = make_project(tmp_path, **own)
    preprocess.run(config, layout)
    other = train_sentencepiece(["other words"] * 9, kind="bpe", vocab_size=20)
    (tmp_path / "fr.model").write_bytes(other)
    status = stage_status("preprocess", config, layout)
    assert status.reason == "preprocess.source_sentencepiece changed"


def test_the_name_of_a_file_does_not_matter_but_its_use_does(tmp_path, own_files):
    config, layout = make_project(tmp_path, **own_files)
    first = preprocess.run(config, layout)
    (tmp_path / "words.txt").rename(tmp_path / "renamed.txt")
    settings = config.preprocess.model_copy(update={"source_vocab": "renamed.txt"})
    renamed = config.model_copy(update={"preprocess": settings})
    assert stage_status("preprocess", renamed, layout).state is StageState.FRESH
    assert not [key for key in first.settings if key.endswith("source_vocab")]
    without, _ = make_project(tmp_path, target_vocab="mots.tsv")
    assert stage_status("preprocess", without, layout).state is StageState.STALE


def test_a_file_that_was_never_there_is_named_with_its_setting(tmp_path):
    config, layout = make_project(tmp_path, source_vocab="nowhere.txt")
    with pytest.raises(ConfigError, match=r"nowhere\.txt not found") as caught:
        identity("preprocess", config, layout)
    assert caught.value.hint == "check preprocess.source_vocab in s2s.toml"
    with pytest.raises(ConfigError, match=r"nowhere\.txt not found") as caught:
        preprocess.run(config, layout)
    assert caught.value.hint == "check preprocess.source_vocab in s2s.toml"
    assert not list(tmp_path.glob("preprocess*"))


@pytest.mark.parametrize("name", ["train.en", "mots.tsv"])
def test_a_missing_file_that_was_used_leaves_the_stage_fresh(tmp_path, own_files, name):
    config, layout = make_project(tmp_path, **own_files)
    preprocess.run(config, layout)
    (tmp_path / name).unlink()
    assert stage_status("preprocess", config, layout).state is StageState.FRESH


def test_a_missing_file_that_was_never_used_makes_the_stage_stale(tmp_path):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    named, _ = make_project(tmp_path, source_vocab="nowhere.txt")
    status = stage_status("preprocess", named, layout)
    assert status.state is StageState.STALE
    assert status.reason == "preprocess.source_vocab changed"


def test_a_vocabulary_that_changes_while_it_is_used_is_refused(tmp_path, own_files):
    config, layout = make_project(tmp_path, **own_files)
    change = AfterTask(
        "tokenize", lambda: write_lines(tmp_path / "words.txt", ["other"])
    )
    with pytest.raises(CorpusError, match=r"words\.txt changed while it was read"):
        preprocess.run(config, layout, progress=change)


def test_a_damaged_vocabulary_stops_before_any_work(tmp_path, own_files):
    write_lines(tmp_path / "words.txt", ["a", "", "b"])
    config, layout = make_project(tmp_path, **own_files)
    with pytest.raises(CorpusError, match=r"words\.txt:2: the line is empty"):
        preprocess.run(config, layout)
    assert not list(tmp_path.glob("preprocess*"))
