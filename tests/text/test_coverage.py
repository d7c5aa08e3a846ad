import logging
from collections import Counter

import pytest

from pipelines.config import PreprocessConfig
from pipelines.text.coverage import warn_about_unseen_pieces

SEEN = Counter({f"p{n}": 2 for n in range(250)} | {f"q{n}": 1 for n in range(9)})
SEEN["</s>"] = 50
KNOWN = Counter({"p1": 99, "q1": 1, "</s>": 50})
NEW = Counter({"p1": 96, "new": 4, "</s>": 50})


def warned(caplog, valid, **settings):
    with caplog.at_level(logging.WARNING):
        warn_about_unseen_pieces(PreprocessConfig(**settings), (SEEN, SEEN), valid)
    return caplog.messages


def test_pieces_unseen_in_training_are_warned_about_with_a_size(caplog):
    settings = {"tokenizer": "sentencepiece", "sentencepiece_vocab_size": 8000}
    assert warned(caplog, (NEW, KNOWN), **settings) == [
        "valid: 4.0 % of the source's pieces occur nowhere in the training text, so "
        "new words become <unk>: preprocess.sentencepiece_vocab_size = 8000 is too "
        "large for this text; lower it to about 200"
    ]


@pytest.mark.parametrize(
    ("joint", "setting"),
    [(False, "target_sentencepiece"), (True, "source_sentencepiece")],
)
def test_a_user_supplied_model_is_named(caplog, joint, setting):
    settings = {"sentencepiece_joint": joint, setting: "own.model"}
    (message,) = warned(caplog, (KNOWN, NEW), tokenizer="sentencepiece", **settings)
    assert "of the target's pieces" in message
    assert message.endswith(f"preprocess.{setting} has too many pieces for this text")


def test_there_is_no_warning_for_a_suitable_size_or_another_tokenizer(caplog):
    assert not warned(caplog, (KNOWN, KNOWN), tokenizer="sentencepiece")
    assert not warned(caplog, (NEW, NEW), tokenizer="moses")
    sides = {"source_tokenizer": "none", "target_tokenizer": "sentencepiece"}
    assert not warned(caplog, (NEW, KNOWN), **sides)
