import gzip

import numpy as np
import pytest
import torch

from pipelines.artifacts.layout import Layout
from pipelines.config import DataConfig
from pipelines.errors import CorpusError
from pipelines.estimate.data import read_training_data
from tests.estimate.tiny import TEXT, paper, small


def test_text_is_counted_by_lines_and_spaces(tmp_path):
    data = read_training_data(small(tmp_path, TEXT), Layout(tmp_path))
    assert data.basis == "text"
    assert data.src_lengths.tolist() == [
        4,
        3,
        2,
    ]  # pairs with a blank line are dropped; EOS counts
    assert data.tgt_lengths.tolist() == [3, 2, 10]
    assert data.vocab_sizes == (4 + 3, 3 + 3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_ratio": 2.0}, [4, 3]),
        ({"max_length": 2}, [3]),
        ({"lowercase": True}, [4, 3, 2]),
    ],
)
def test_text_is_filtered_as_preprocessing_will(tmp_path, settings, expected):
    data = read_training_data(small(tmp_path, TEXT, **settings), Layout(tmp_path))
    assert data.src_lengths.tolist() == expected


def test_vocabularies_are_never_larger_than_the_settings_say(tmp_path):
    config = small(tmp_path, TEXT, source_vocab_size=5, target_vocab_size=4)
    assert read_training_data(config, Layout(tmp_path)).vocab_sizes == (5, 4)


def test_characters_are_counted_for_that_tokenizer(tmp_path):
    config = small(tmp_path, (["ab é", "b"], ["x", "y"]))
    settings = config.preprocess.model_copy(
        update={"tokenizer": "characters", "lowercase": True}
    )
    config = config.model_copy(update={"preprocess": settings})
    data = read_training_data(config, Layout(tmp_path))
    assert data.src_lengths.tolist() == [5, 2]
    assert data.vocab_sizes == (4 + 3, 2 + 3)


def test_pieces_are_as_many_as_the_settings_say(tmp_path):
    config = small(tmp_path, TEXT)
    settings = config.preprocess.model_copy(
        update={"tokenizer": "sentencepiece", "sentencepiece_vocab_size": 100}
    )
    config = config.model_copy(update={"preprocess": settings})
    assert read_training_data(config, Layout(tmp_path)).vocab_sizes == (103, 103)


def with_settings(config, **update):
    settings = config.preprocess.model_copy(update=update)
    return config.model_copy(update={"preprocess": settings})


def test_each_side_is_counted_for_its_tokenizer(tmp_path):
    config = small(tmp_path, (["ab cd", "b"], ["x y", "y"]))
    config = with_settings(config, source_tokenizer="characters")
    data = read_training_data(config, Layout(tmp_path))
    assert data.src_lengths.tolist() == [6, 2]
    assert data.tgt_lengths.tolist() == [3, 2]
    assert data.vocab_sizes == (5 + 3, 2 + 3)


@pytest.mark.parametrize(
    ("update", "sizes"),
    [
        ({}, (2 + 3, 2 + 3)),
        ({"share_vocab": True}, (3 + 3, 3 + 3)),
        ({"share_vocab": True, "source_vocab_size": 5}, (5, 5)),
        ({"source_vocab": "own"}, (4 + 3, 2 + 3)),
        ({"target_vocab": "own"}, (2 + 3, 4 + 3)),
        ({"source_vocab": "own", "share_vocab": True}, (4 + 3, 4 + 3)),
        (
            {"target_tokenizer": "sentencepiece", "sentencepiece_vocab_size": 9},
            (2 + 3, 9 + 3),
        ),
    ],
)
def test_shared_and_own_vocabularies_have_their_size(tmp_path, update, sizes):
    (tmp_path / "own").write_text("a\nb\nc\nd\n")
    config = with_settings(small(tmp_path, (["a b", "b"], ["b x", "b"])), **update)
    assert read_training_data(config, Layout(tmp_path)).vocab_sizes == sizes


def test_a_shared_vocabulary_is_one_size_without_any_text(tmp_path):
    config = paper(tmp_path, **{"preprocess.share_vocab": True})
    data = read_training_data(config, Layout(tmp_path))
    assert data.vocab_sizes == (160_000, 160_000)


def test_packed_text_is_read_too(tmp_path):
    config = small(tmp_path, TEXT)
    packed = gzip.compress((tmp_path / "src").read_bytes())
    (tmp_path / "src.gz").write_bytes(packed)
    config = config.model_copy(update={"data": DataConfig(train=("src.gz", "tgt"))})
    assert read_training_data(config, Layout(tmp_path)).src_lengths.tolist() == [
        4,
        3,
        2,
    ]


def test_a_missing_file_is_the_reason_for_unknown_data(tmp_path):
    config = small(tmp_path, TEXT)
    (tmp_path / "tgt").unlink()
    data = read_training_data(config, Layout(tmp_path))
    assert data.basis == "nothing"
    assert "tgt is not there" in data.reason


def test_long_text_is_left_to_the_dry_run(tmp_path):
    data = read_training_data(small(tmp_path, TEXT), Layout(tmp_path), most_bytes=3)
    assert data.basis == "nothing"
    assert "--dry-run counts it" in data.reason


def test_text_without_a_pair_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="no training pair is left"):
        read_training_data(small(tmp_path, (["", "a"], ["x", ""])), Layout(tmp_path))


def test_a_batch_of_unknown_text_has_random_words_of_the_known_lengths(tmp_path):
    data = read_training_data(small(tmp_path, TEXT), Layout(tmp_path))
    loaded = data.load_batch(np.array([2, 0]))
    assert loaded.pair_ids.tolist() == [2, 0]
    assert loaded.num_tgt_tokens == loaded.batch.num_tgt_tokens == 10 + 3
    assert loaded.num_words == 10 + 3 + 2 + 4
    assert loaded.batch.src.tokens_N.max() < data.vocab_sizes[0]
    again = data.load_batch(np.array([2, 0]))
    assert torch.equal(again.batch.tgt_out_N, loaded.batch.tgt_out_N)
