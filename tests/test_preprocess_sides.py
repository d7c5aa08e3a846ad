"""Tokenizers and vocabularies of each side."""

import json
import logging

from pipelines import binarize
from pipelines.artifacts.shards import open_shard
from tests.small_corpus import (
    PAIRS,
    make_project,
    preprocess_project,
    text_lines,
    warnings_of,
    write_pairs,
)

PHONES = [("cat", "K AE T"), ("tack", "T AE K"), ("act", "AE K T")] * 4


def test_letters_in_phonemes_out(tmp_path):
    for split in ("train", "valid", "test"):
        write_pairs(tmp_path, split, PHONES)
    manifest, layout, pipeline = preprocess_project(
        tmp_path, source_tokenizer="characters", target_tokenizer="none"
    )
    assert text_lines(layout.preprocess / "train.00000.src")[0] == "t a c </s>"
    assert text_lines(layout.preprocess / "train.00000.tgt")[0] == "K AE T </s>"
    assert pipeline.source_tokenizer == "characters"
    assert pipeline.target_tokenizer == "none"
    assert pipeline.target_text(["K", "AE", "T"]) == "K AE T"
    assert pipeline.word_tokens("K AE1 T.") == "K AE1 T."
    assert manifest.settings["preprocess.target_tokenizer"] == "none"


def test_pipeline_json_has_a_target_tokenizer_only_where_the_sides_differ(tmp_path):
    settings_by_name = {}
    for name, settings in {
        "same": {"tokenizer": "none"},
        "named": {"source_tokenizer": "none", "target_tokenizer": "none"},
        "differ": {"tokenizer": "none", "target_tokenizer": "characters"},
    }.items():
        _, layout, _ = preprocess_project(tmp_path, **settings)
        text = (layout.preprocess / "text" / "pipeline.json").read_text()
        settings_by_name[name] = json.loads(text)["settings"]
    same = settings_by_name["same"]
    assert same == settings_by_name["named"]
    assert list(same) == [
        "source_lang",
        "target_lang",
        "tokenizer",
        "lowercase",
        "normalization",
        "reverse_source",
    ]
    assert settings_by_name["differ"] == same | {"target_tokenizer": "characters"}


def test_each_side_may_have_its_smallest_count(tmp_path):
    write_pairs(tmp_path, "train", [*PAIRS, *PAIRS, ("rare", "rare")])
    _, _, pipeline = preprocess_project(tmp_path, tokenizer="none", min_count=[1, 2])
    assert "rare" in pipeline.source_vocab.tokens
    assert "rare" not in pipeline.target_vocab.tokens


def test_a_shared_vocabulary_serves_both_sides(tmp_path):
    write_pairs(tmp_path, "train", [("a b b", "b c"), ("a", "d")])
    manifest, layout, pipeline = preprocess_project(
        tmp_path, tokenizer="none", share_vocab=True
    )
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


def test_phonemes_split_into_characters_are_warned_about(tmp_path, caplog):
    write_pairs(tmp_path, "train", PHONES * 10)
    with caplog.at_level(logging.WARNING):
        preprocess_project(tmp_path, tokenizer="characters")
    assert warnings_of(caplog) == [
        "the target side looks tokenized already ('K AE T'): the tokenizer characters "
        "cuts its symbols; preprocess.target_tokenizer = none keeps them whole"
    ]
