import io

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, CorpusError
from pipelines.text.normalise import normalise
from pipelines.text.tokenizers.sentencepiece_model import (
    SentencePieceTokenizer,
    load_sentencepiece,
    train_sentencepiece,
)

LINES = ["the cat sat on the mat", "the dog ran to the cat", "a mat and a dog"] * 10


@pytest.fixture(scope="module")
def pieces() -> SentencePieceTokenizer:
    return SentencePieceTokenizer(train_sentencepiece(LINES, kind="bpe", vocab_size=60))


def test_pieces_round_trip(pieces):
    tokens = pieces.tokenize("the cat and the dog")
    assert "▁the" in tokens
    assert pieces.detokenize(tokens) == "the cat and the dog"


@given(st.text())
def test_pieces_of_any_text_come_back(pieces, text):
    line, _ = normalise(text.replace("▁", ""), "nfc")
    words = " ".join(word for word in line.split(" ") if word)
    assert pieces.detokenize(pieces.tokenize(line)) == words


@given(st.text(alphabet="</spadunk> "))
def test_pieces_are_never_special_symbols_of_the_text(pieces, text):
    assert not {"<pad>", "</s>", "<unk>"} & set(pieces.tokenize(text))


def test_a_line_of_100_000_words_is_tokenized(pieces):
    line = "the cat " * 50_000
    tokens = pieces.tokenize(line)
    assert pieces.detokenize(tokens) == line.strip()


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_twice_gives_the_same_bytes(kind):
    first = train_sentencepiece(LINES, kind=kind, vocab_size=40)
    assert first == train_sentencepiece(LINES, kind=kind, vocab_size=40)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_small_text_gives_as_many_pieces_as_it_can(kind):
    model = train_sentencepiece(["ab ab abc"], kind=kind, vocab_size=8000)
    assert SentencePieceTokenizer(model).detokenize(["▁ab", "c"]) == "abc"
    assert SentencePieceTokenizer(model).tokenize("abc")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("line", ["x" * 70_000, "ab " * 50_000])
def test_training_takes_very_long_lines(kind, line):
    assert train_sentencepiece([line, "the cat"], kind=kind, vocab_size=30)


def test_training_refuses_fewer_pieces_than_characters():
    with pytest.raises(ConfigError, match="30 different characters") as caught:
        train_sentencepiece(
            ["abcdefghijklmnopqrstuvwxyz0123"], kind="bpe", vocab_size=33
        )
    assert caught.value.hint == "it has to be at least 34"
    needed = train_sentencepiece(
        ["abcdefghijklmnopqrstuvwxyz0123"], kind="bpe", vocab_size=34
    )
    assert needed


def test_training_refuses_blank_lines():
    with pytest.raises(CorpusError, match="no text to train"):
        train_sentencepiece(["", "  "], kind="bpe", vocab_size=100)


def train_other_model(**options):
    """Train a model with the options of other programs."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


OTHER_MODELS: dict[str, dict] = {
    "defaults": {"vocab_size": 40},
    "no pad, symbols of its own": {
        "vocab_size": 44,
        "unk_piece": "[UNK]",
        "eos_piece": "[SEP]",
        "bos_id": -1,
        "user_defined_symbols": ["</s>", "<pad>"],
    },
    "bytes": {"vocab_size": 300, "byte_fallback": True},
    "spaces at the end": {"vocab_size": 40, "treat_whitespace_as_suffix": True},
    "words": {"vocab_size": 12, "model_type": "word"},
}


@pytest.mark.parametrize("options", OTHER_MODELS.values(), ids=OTHER_MODELS)
def test_models_of_other_programs_are_accepted(tmp_path, options):
    (tmp_path / "other.model").write_bytes(train_other_model(**options))
    pieces = SentencePieceTokenizer(load_sentencepiece(tmp_path / "other.model"))
    tokens = pieces.tokenize("the cat and the dog")
    assert all(token and " " not in token for token in tokens)
    assert pieces.detokenize(tokens) == "the cat and the dog"


def test_pieces_that_are_bytes_become_characters_again(tmp_path):
    pieces = SentencePieceTokenizer(train_other_model(**OTHER_MODELS["bytes"]))
    tokens = pieces.tokenize("the é€")
    assert tokens[-5:] == ["<0xC3>", "<0xA9>", "<0xE2>", "<0x82>", "<0xAC>"]
    assert pieces.detokenize(tokens) == "the é€"


def test_bytes_are_text_where_the_model_has_none(pieces):
    assert pieces.detokenize(["▁<0xC3>", "a"]) == "<0xC3>a"


@pytest.mark.parametrize("data", [b"", b"no model", b"token\t1\n" * 99])
def test_a_file_that_is_not_a_model_is_refused(tmp_path, data):
    (tmp_path / "x.model").write_bytes(data)
    with pytest.raises(CorpusError, match=r"x\.model is not a SentencePiece model"):
        load_sentencepiece(tmp_path / "x.model")


def test_a_piece_with_a_space_is_refused(tmp_path):
    model = train_other_model(vocab_size=60, model_type="bpe")
    changed = model.replace("▁the".encode(), b"ab the")
    assert changed != model
    (tmp_path / "x.model").write_bytes(changed)
    with pytest.raises(CorpusError, match="the piece 'ab the' contains whitespace"):
        load_sentencepiece(tmp_path / "x.model")
