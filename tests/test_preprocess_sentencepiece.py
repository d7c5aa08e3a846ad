"""SentencePiece models that preprocessing trains, and the warnings about their size."""

import logging
import random

import pytest

from pipelines import preprocess
from pipelines.errors import ConfigError
from pipelines.text import TextPipeline
from pipelines.text.tokenizers.sentencepiece_model import SentencePieceTokenizer
from tests.small_corpus import (
    PAIRS,
    make_project,
    preprocess_project,
    text_lines,
    warnings_of,
    write_pairs,
)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_separate_sentencepiece_models(tmp_path, kind):
    config, layout = make_project(
        tmp_path, tokenizer="sentencepiece", sentencepiece_model=kind
    )
    preprocess.run(config, layout)
    text = layout.preprocess / "text"
    assert (text / "source.spm").read_bytes() != (text / "target.spm").read_bytes()
    pipeline = TextPipeline.load(text)
    tokens = text_lines(layout.preprocess / "valid.00000.tgt")[0].split(" ")
    assert tokens == pipeline.tokenize_target("Le chat dort.").tokens
    assert pipeline.target_text(tokens[:-1]) == "Le chat dort."


def test_a_joint_sentencepiece_model_serves_both_sides(tmp_path):
    write_pairs(tmp_path, "train", [*PAIRS, ("", "vide"), ("blank", " ")])
    config, layout = make_project(
        tmp_path, tokenizer="sentencepiece", sentencepiece_joint=True, lowercase=True
    )
    preprocess.run(config, layout)
    text = layout.preprocess / "text"
    assert (text / "source.spm").read_bytes() == (text / "target.spm").read_bytes()
    pipeline = TextPipeline.load(text)
    assert pipeline.tokenize_source("chat").tokens[-2] == "▁chat"


def test_sentencepiece_learns_from_a_sample(tmp_path):
    models = []
    for seed in (1, 2):
        config, layout = make_project(
            tmp_path,
            tokenizer="sentencepiece",
            sentencepiece_sample_size=2,
            seed=seed,
        )
        preprocess.run(config, layout)
        models.append((layout.preprocess / "text" / "source.spm").read_bytes())
    assert models[0] != models[1]


def test_sentencepiece_smaller_than_the_alphabet_is_refused(tmp_path):
    config, layout = make_project(
        tmp_path, tokenizer="sentencepiece", sentencepiece_vocab_size=5
    )
    with pytest.raises(ConfigError, match="different characters"):
        preprocess.run(config, layout)


def test_one_side_of_sentencepiece_trains_one_model(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        _, layout, pipeline = preprocess_project(
            tmp_path, target_tokenizer="sentencepiece", sentencepiece_vocab_size=40
        )
    assert not (layout.preprocess / "text" / "source.spm").exists()
    assert (layout.preprocess / "text" / "target.spm").exists()
    assert (
        pipeline.target_text(pipeline.tokenize_target("Le chat").tokens[:-1])
        == "Le chat"
    )
    messages = [text for text in caplog.messages if text.startswith("SentencePiece")]
    assert messages == ["SentencePiece: target side: 40 pieces from 12 lines"]


@pytest.mark.parametrize(
    ("size", "level"), [(8000, logging.WARNING), (30, logging.INFO)]
)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_pieces_of_each_side_are_reported(tmp_path, caplog, size, level, kind):
    settings = {"sentencepiece_vocab_size": size, "sentencepiece_model": kind}
    with caplog.at_level(logging.INFO):
        _, _, pipeline = preprocess_project(
            tmp_path, tokenizer="sentencepiece", **settings
        )
    records = [r for r in caplog.records if r.getMessage().startswith("SentencePiece")]
    assert [record.levelno for record in records] == [level, level]
    for record, (side, model) in zip(records, pipeline.models.items(), strict=True):
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
        preprocess_project(tmp_path, tokenizer="sentencepiece", **settings)
    messages = [text for text in caplog.messages if text.startswith("SentencePiece")]
    assert messages == ["SentencePiece: both sides: 50 pieces from 24 lines"]


def test_pieces_that_training_never_sees_are_warned_about(tmp_path, caplog):
    generator = random.Random(1)
    words = ["".join(generator.choices("abcdefgh", k=6)) for _ in range(400)]
    for split, known in (("train", words[:300]), ("valid", words[300:])):
        write_pairs(tmp_path, split, [(word, word) for word in known])
    write_pairs(tmp_path, "test", [("a", "a")])
    settings = {"tokenizer": "sentencepiece", "max_ratio": 0}
    with caplog.at_level(logging.WARNING):
        preprocess_project(tmp_path, sentencepiece_vocab_size=1500, **settings)
    warnings = [text for text in warnings_of(caplog) if "so new words become" in text]
    assert len(warnings) == 2
    assert "preprocess.sentencepiece_vocab_size = 1500 is too large" in warnings[0]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        preprocess_project(tmp_path, sentencepiece_vocab_size=40, **settings)
    assert not warnings_of(caplog)
