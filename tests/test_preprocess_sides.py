"""Tokenizers and vocabularies of each side, those of the user's own, and warnings."""

import json
import logging
import random

import pytest

from pipelines import binarize, preprocess
from pipelines.artifacts.shards import open_shard
from pipelines.artifacts.vocab import SPECIALS
from pipelines.errors import ConfigError, CorpusError
from pipelines.project.stages import identity
from pipelines.project.status import StageState, stage_status
from pipelines.text import TextPipeline
from pipelines.text.tokenizers import SentencePieceTokenizer, train_sentencepiece
from tests.small_corpus import PAIRS, make_project, write_lines, write_pairs

PHONES = [("cat", "K AE T"), ("tack", "T AE K"), ("act", "AE K T")] * 4


def lines_of(path):
    return path.read_bytes().decode().split("\n")[:-1]


def run(folder, **settings):
    config, layout = make_project(folder, **settings)
    manifest = preprocess.run(config, layout)
    return manifest, layout, TextPipeline.load(layout.preprocess / "text")


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# A tokenizer for each side


def test_letters_in_phonemes_out(tmp_path):
    for split in ("train", "valid", "test"):
        write_pairs(tmp_path, split, PHONES)
    manifest, layout, pipeline = run(
        tmp_path, source_tokenizer="characters", target_tokenizer="none"
    )
    assert lines_of(layout.preprocess / "train.00000.src")[0] == "t a c </s>"
    assert lines_of(layout.preprocess / "train.00000.tgt")[0] == "K AE T </s>"
    assert pipeline.source_tokenizer == "characters"
    assert pipeline.target_tokenizer == "none"
    assert pipeline.target_text(["K", "AE", "T", "</s>"]) == "K AE T"
    assert pipeline.word_tokens("K AE1 T.") == "K AE1 T."
    assert manifest.settings["preprocess.target_tokenizer"] == "none"


def test_the_pipelines_file_has_a_new_key_only_where_the_sides_differ(tmp_path):
    found = {}
    for name, settings in {
        "same": {"tokenizer": "none"},
        "named": {"source_tokenizer": "none", "target_tokenizer": "none"},
        "differ": {"tokenizer": "none", "target_tokenizer": "characters"},
    }.items():
        _, layout, _ = run(tmp_path, **settings)
        text = (layout.preprocess / "text" / "pipeline.json").read_text()
        found[name] = json.loads(text)["settings"]
    assert found["same"] == found["named"]
    assert list(found["same"]) == [
        "source_lang",
        "target_lang",
        "tokenizer",
        "lowercase",
        "normalization",
        "reverse_source",
    ]
    assert found["differ"] == found["same"] | {"target_tokenizer": "characters"}


def test_one_side_of_sentencepiece_trains_one_model(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        _, layout, pipeline = run(
            tmp_path, target_tokenizer="sentencepiece", sentencepiece_vocab_size=40
        )
    assert not (layout.preprocess / "text" / "source.spm").exists()
    assert (layout.preprocess / "text" / "target.spm").exists()
    assert pipeline.target_text(pipeline.target_tokens("Le chat")) == "Le chat"
    told = [text for text in caplog.messages if text.startswith("SentencePiece")]
    assert told == ["SentencePiece: target side: 40 pieces from 12 lines"]


def test_each_side_may_have_its_smallest_count(tmp_path):
    write_pairs(tmp_path, "train", [*PAIRS, *PAIRS, ("rare", "rare")])
    _, _, pipeline = run(tmp_path, tokenizer="none", min_count=[1, 2])
    assert "rare" in pipeline.source_vocab.tokens
    assert "rare" not in pipeline.target_vocab.tokens


# A shared vocabulary


def test_a_shared_vocabulary_serves_both_sides(tmp_path):
    write_pairs(tmp_path, "train", [("a b b", "b c"), ("a", "d")])
    manifest, layout, pipeline = run(tmp_path, tokenizer="none", share_vocab=True)
    text = layout.preprocess / "text"
    assert (text / "source.vocab.tsv").read_text() == (
        "<pad>\t0\n<unk>\t0\n</s>\t4\nb\t3\na\t2\nc\t1\nd\t1\n"
    )
    assert (text / "target.vocab.tsv").read_bytes() == (
        text / "source.vocab.tsv"
    ).read_bytes()
    assert manifest.counts["source_vocab_size"] == 7
    assert manifest.counts["target_vocab_size"] == 7
    assert pipeline.source_ids("d") == pipeline.target_ids("d") == [6, 2]
    config, _ = make_project(tmp_path, tokenizer="none", share_vocab=True)
    binarize.run(config, layout)
    shard = open_shard(layout.binarize / "train.00000.safetensors")
    assert list(shard.tgt_tokens) == [3, 5, 2, 6, 2]


# The user's own vocabularies and models


@pytest.fixture
def brought(tmp_path):
    """Files beside a project, and the settings that name them."""
    write_lines(tmp_path / "words.txt", ["cat", ".", "never", "The"])
    write_lines(tmp_path / "mots.tsv", ["chat\t9", "</s>\t3", ".\t1"])
    model = train_sentencepiece(["Le chat dort, vite !"] * 9, kind="bpe", vocab_size=30)
    (tmp_path / "fr.model").write_bytes(model)
    return {"source_vocab": "words.txt", "target_vocab": "mots.tsv"}


def test_own_vocabularies_are_used_as_they_are(tmp_path, brought):
    _, _, pipeline = run(tmp_path, min_count=9, source_vocab_size=4, **brought)
    assert pipeline.source_vocab.tokens == (*SPECIALS, "cat", ".", "never", "The")
    assert pipeline.source_vocab.counts[3:] == (3, 9, 0, 3)
    assert pipeline.target_vocab.tokens == (*SPECIALS, "chat", ".")
    assert pipeline.source_ids("The cat sleeps .") == [4, 1, 3, 6, 2]


def test_an_own_model_is_used_as_it_is(tmp_path, brought, caplog):
    own = {"target_tokenizer": "sentencepiece", "target_sentencepiece": "fr.model"}
    with caplog.at_level(logging.INFO):
        _, layout, _ = run(tmp_path, **own)
    model = (tmp_path / "fr.model").read_bytes()
    assert (layout.preprocess / "text" / "target.spm").read_bytes() == model
    assert "SentencePiece: target side: 30 pieces of fr.model" in caplog.messages
    tokens = lines_of(layout.preprocess / "valid.00000.tgt")[0].split(" ")
    assert tokens[:2] == SentencePieceTokenizer(model).tokenize("Le chat")


def test_one_own_model_and_one_that_is_trained(tmp_path, brought):
    own = {"tokenizer": "sentencepiece", "target_sentencepiece": "fr.model"}
    _, layout, _ = run(tmp_path, sentencepiece_vocab_size=40, **own)
    model = (tmp_path / "fr.model").read_bytes()
    text = layout.preprocess / "text"
    assert (text / "target.spm").read_bytes() == model
    assert (text / "source.spm").read_bytes() != model


def test_an_own_model_may_serve_both_sides(tmp_path, brought):
    own = {"sentencepiece_joint": True, "source_sentencepiece": "fr.model"}
    _, layout, _ = run(tmp_path, tokenizer="sentencepiece", **own)
    text = layout.preprocess / "text"
    model = (tmp_path / "fr.model").read_bytes()
    assert (text / "source.spm").read_bytes() == model
    assert (text / "target.spm").read_bytes() == model


@pytest.mark.parametrize("name", ["words.txt", "mots.tsv"])
def test_a_changed_file_makes_the_stage_stale(tmp_path, brought, name):
    config, layout = make_project(tmp_path, **brought)
    preprocess.run(config, layout)
    assert stage_status("preprocess", config, layout).state is StageState.FRESH
    (tmp_path / name).write_text("cat\nchat\n")
    found = stage_status("preprocess", config, layout)
    assert found.state is StageState.STALE
    role = {"words.txt": "source", "mots.tsv": "target"}[name]
    assert found.reason == f"preprocess.{role}_vocab changed"


def test_a_changed_model_makes_the_stage_stale(tmp_path, brought):
    own = {"tokenizer": "sentencepiece", "source_sentencepiece": "fr.model"}
    config, layout = make_project(tmp_path, **own)
    preprocess.run(config, layout)
    other = train_sentencepiece(["other words"] * 9, kind="bpe", vocab_size=20)
    (tmp_path / "fr.model").write_bytes(other)
    found = stage_status("preprocess", config, layout)
    assert found.reason == "preprocess.source_sentencepiece changed"


def test_the_name_of_a_file_does_not_matter_but_its_use_does(tmp_path, brought):
    config, layout = make_project(tmp_path, **brought)
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
def test_a_file_that_is_gone_was_used_already(tmp_path, brought, name):
    config, layout = make_project(tmp_path, **brought)
    preprocess.run(config, layout)
    (tmp_path / name).unlink()
    assert stage_status("preprocess", config, layout).state is StageState.FRESH


def test_a_file_that_was_never_used_is_no_remembered_one(tmp_path):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    named, _ = make_project(tmp_path, source_vocab="nowhere.txt")
    found = stage_status("preprocess", named, layout)
    assert found.state is StageState.STALE
    assert found.reason == "preprocess.source_vocab changed"


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path, brought, monkeypatch):
    config, layout = make_project(tmp_path, **brought)
    save = TextPipeline.save

    def save_and_touch(self, folder):
        save(self, folder)
        write_lines(tmp_path / "words.txt", ["other"])

    monkeypatch.setattr(TextPipeline, "save", save_and_touch)
    with pytest.raises(CorpusError, match=r"words\.txt changed while it was read"):
        preprocess.run(config, layout)


def test_a_damaged_vocabulary_stops_before_any_work(tmp_path, brought):
    write_lines(tmp_path / "words.txt", ["a", "", "b"])
    config, layout = make_project(tmp_path, **brought)
    with pytest.raises(CorpusError, match=r"words\.txt:2: the line is empty"):
        preprocess.run(config, layout)
    assert not list(tmp_path.glob("preprocess*"))


# Warnings


def test_losses_above_one_percent_are_warned_of(tmp_path, caplog):
    write_pairs(tmp_path, "train", [*PAIRS * 3, ("a b c d e f g", "x"), ("", "x")])
    with caplog.at_level(logging.INFO):
        run(tmp_path, tokenizer="none", max_length=6, max_ratio=9.0)
    assert warnings_of(caplog) == [
        "train: dropped 1 of 14 pairs (7.1 %): a side is blank",
        "train: preprocess.max_length = 6 dropped 1 of 14 pairs (7.1 %): a side has "
        "more tokens; raise it or set 0",
    ]
    assert "train: kept 12 of 14 pairs (dropped 1 blank, 1 too_long)" in caplog.messages


def test_the_test_split_is_never_filtered_and_never_warned_of(tmp_path, caplog):
    write_pairs(tmp_path, "test", [("", ""), ("a b c d e f g", "x")])
    with caplog.at_level(logging.WARNING):
        run(tmp_path, tokenizer="none", max_length=6)
    assert not warnings_of(caplog)


@pytest.mark.parametrize(
    ("size", "level"), [(8000, logging.WARNING), (30, logging.INFO)]
)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_pieces_of_each_side_are_reported(tmp_path, caplog, size, level, kind):
    settings = {"sentencepiece_vocab_size": size, "sentencepiece_model": kind}
    with caplog.at_level(logging.INFO):
        _, _, pipeline = run(tmp_path, tokenizer="sentencepiece", **settings)
    found = [r for r in caplog.records if r.getMessage().startswith("SentencePiece")]
    assert [record.levelno for record in found] == [level, level]
    for record, (side, model) in zip(found, pipeline.models.items(), strict=True):
        number = len(SentencePieceTokenizer(model).pieces)
        text = f"SentencePiece: {side.removesuffix('.spm')} side: {number} pieces"
        if size == 30:
            assert record.getMessage() == f"{text} from 12 lines"
        else:
            assert record.getMessage() == (
                f"{text} instead of the 8,000 of preprocess.sentencepiece_vocab_size: "
                "the text (12 lines) yields no more"
            )


def test_the_pieces_of_a_joint_model_are_reported_once(tmp_path, caplog):
    settings = {"sentencepiece_vocab_size": 50, "sentencepiece_joint": True}
    with caplog.at_level(logging.INFO):
        run(tmp_path, tokenizer="sentencepiece", **settings)
    told = [text for text in caplog.messages if text.startswith("SentencePiece")]
    assert told == ["SentencePiece: both sides: 50 pieces from 24 lines"]


def test_phonemes_cut_into_characters_are_warned_of(tmp_path, caplog):
    write_pairs(tmp_path, "train", PHONES * 10)
    with caplog.at_level(logging.WARNING):
        run(tmp_path, tokenizer="characters")
    assert warnings_of(caplog) == [
        "the target side looks tokenized already ('K AE T'): the tokenizer characters "
        "cuts its symbols; preprocess.target_tokenizer = none keeps them whole"
    ]


def test_a_single_pair_is_not_pairs(tmp_path, caplog):
    write_pairs(tmp_path, "train", [("a", "x")])
    with caplog.at_level(logging.INFO):
        config, layout = make_project(tmp_path)
        preprocess.run(config, layout)
        binarize.run(config, layout)
    assert {"train: 1 pair", "train: kept 1 of 1 pair"} <= set(caplog.messages)
    assert "train: 1 pair in 1 shard" in caplog.messages


def test_more_pieces_than_the_text_can_teach_are_warned_of(tmp_path, caplog):
    generator = random.Random(1)
    words = ["".join(generator.choices("abcdefgh", k=6)) for _ in range(400)]
    for split, known in (("train", words[:300]), ("valid", words[300:])):
        write_pairs(tmp_path, split, [(word, word) for word in known])
    write_pairs(tmp_path, "test", [("a", "a")])
    settings = {"tokenizer": "sentencepiece", "max_ratio": 0}
    with caplog.at_level(logging.WARNING):
        run(tmp_path, sentencepiece_vocab_size=1500, **settings)
    found = [text for text in warnings_of(caplog) if "so new words become" in text]
    assert len(found) == 2
    assert "preprocess.sentencepiece_vocab_size = 1500 is too large" in found[0]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        run(tmp_path, sentencepiece_vocab_size=40, **settings)
    assert not warnings_of(caplog)
