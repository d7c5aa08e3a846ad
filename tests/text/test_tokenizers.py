import io
import logging
import time

import pytest
import sacremoses
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, CorpusError
from pipelines.text.normalise import normalise
from pipelines.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    WhitespaceTokenizer,
    load_sentencepiece,
    moses_tokenizer,
    train_sentencepiece,
    word_tokenizer,
)

LINES = ["the cat sat on the mat", "the dog ran to the cat", "a mat and a dog"] * 10
HARD = [
    "U.S. troops left the E.U. at 5 p.m. on Mr. Smith's Feb. 3rd, No. 5 ... 'yes.'",
    "Dr. No. 7. end. of. A.B. Nos. 5 Nos. a",
    "l'an 5,300.5, d'où ? c'est «\u202foui\u202f» n'est-ce pas\u00a0?",
    "1,2,a,b, it's ' x . ' ",
    "a.'",
    "...",
    "",
]


def word(alphabet):
    return st.text(alphabet, min_size=1, max_size=8)


# Moses


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr", "it", "de", "fi", "ja", "zh"])
@pytest.mark.parametrize("line", HARD)
def test_the_fast_moses_tokenizer_gives_what_sacremoses_gives(language, line):
    plain = sacremoses.MosesTokenizer(language)
    assert moses_tokenizer(language).tokenize(line) == plain.tokenize(
        line, escape=False
    )


@pytest.mark.parametrize(
    ("language", "line", "tokens"),
    [
        ("en", 'It\'s <5 & "fine".', 'It \'s < 5 & " fine " .'),
        ("en", "well-known", "well-known"),
        ("fr", "l'homme\u00a0: «\u202foui\u202f»", "l' homme : « oui »"),
        ("de", "Das ist z.B. gut.", "Das ist z.B. gut ."),
    ],
)
def test_moses_tokenizes_as_the_scripts_do(language, line, tokens):
    assert moses_tokenizer(language).tokenize(line) == tokens.split(" ")


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "It's a well-known fact, isn't it?"),
        ("en", 'He said "no" (twice) & left at 5 p.m.'),
        ("fr", "L'homme qu'il a vu n'est pas là."),
        ("fr", "Est-ce que 3,5 % suffit ?"),
        ("de", "Das kostet 1.000,50 Euro, oder?"),
    ],
)
def test_moses_puts_ordinary_sentences_together_again(language, line):
    moses = moses_tokenizer(language)
    assert moses.detokenize(moses.tokenize(line)) == line


def test_moses_leaves_xml_entities_of_the_text_alone():
    assert moses_tokenizer("en").detokenize(["an", "&amp;"]) == "an &amp;"


@given(st.lists(word("abcdefgh"), min_size=1).map(" ".join), st.sampled_from(".?!"))
def test_moses_round_trip_of_plain_words(sentence, mark):
    moses = moses_tokenizer("en")
    assert moses.detokenize(moses.tokenize(sentence + mark)) == sentence + mark


@pytest.mark.parametrize("language", ["fr-CA", "fr_FR", "FR", "french"])
def test_moses_takes_regional_codes_and_names(language):
    assert moses_tokenizer(language).tokenize("l'homme") == ["l'", "homme"]


def test_moses_warns_once_of_a_language_it_does_not_know(caplog):
    with caplog.at_level(logging.WARNING):
        first = moses_tokenizer("xx-one")
        assert moses_tokenizer("xx-one") is first
    assert [r.getMessage() for r in caplog.records] == [
        "Moses has no rules for 'xx-one': using its English ones"
    ]
    assert first.tokenize("it's") == ["it", "'s"]


def test_words_of_any_language_are_cut_without_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert word_tokenizer("xx-two").tokenize("it's") == ["it", "'s"]
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("text", ["don't. a,b ", "..", "'", "x", ",", "a."])
def test_moses_takes_time_in_proportion_to_a_very_long_line(text):
    moses = moses_tokenizer("en")
    start = time.process_time()
    tokens = moses.tokenize(text * 40_000)
    moses.detokenize(tokens)
    assert time.process_time() - start < 10.0


# Blanks and characters


@given(st.lists(word("ab\u00a0\u202fé▁<"), min_size=1))
def test_blank_tokenizer_round_trip(words):
    line = " ".join(words)
    tokenizer = WhitespaceTokenizer()
    assert tokenizer.tokenize(line) == words
    assert tokenizer.detokenize(words) == line


def test_blank_tokenizer_joins_runs_of_blanks():
    assert WhitespaceTokenizer().tokenize(" a \t b ") == ["a", "b"]


@given(st.lists(word("ab▁é\u00a0"), min_size=1))
def test_character_tokenizer_round_trip(words):
    line = " ".join(words)
    tokenizer = CharacterTokenizer()
    assert tokenizer.detokenize(tokenizer.tokenize(line)) == line


def test_character_tokenizer_tells_a_blank_from_a_literal_mark():
    assert CharacterTokenizer().tokenize(" a  b▁") == ["a", "▁", "b", "▁▁"]


# SentencePiece


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


def test_pieces_of_a_very_long_line_take_no_long_time(pieces):
    start = time.process_time()
    assert len(pieces.tokenize("the cat " * 50_000)) >= 100_000
    assert time.process_time() - start < 10.0


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


def test_training_refuses_a_text_of_blanks():
    with pytest.raises(CorpusError, match="no text to train"):
        train_sentencepiece(["", "  "], kind="bpe", vocab_size=100)


# SentencePiece models of other programs


def train_otherwise(**options):
    """A model with other special symbols, ids and normalization than ours."""
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
    "blanks at the end": {"vocab_size": 40, "treat_whitespace_as_suffix": True},
    "words": {"vocab_size": 12, "model_type": "word"},
}


@pytest.mark.parametrize("options", OTHER_MODELS.values(), ids=OTHER_MODELS)
def test_any_model_of_sentencepiece_serves(tmp_path, options):
    (tmp_path / "other.model").write_bytes(train_otherwise(**options))
    pieces = SentencePieceTokenizer(load_sentencepiece(tmp_path / "other.model"))
    tokens = pieces.tokenize("the cat and the dog")
    assert all(token and " " not in token for token in tokens)
    assert pieces.detokenize(tokens) == "the cat and the dog"


def test_pieces_that_are_bytes_become_characters_again(tmp_path):
    pieces = SentencePieceTokenizer(train_otherwise(**OTHER_MODELS["bytes"]))
    tokens = pieces.tokenize("the é€")
    assert tokens[-5:] == ["<0xC3>", "<0xA9>", "<0xE2>", "<0x82>", "<0xAC>"]
    assert pieces.detokenize(tokens) == "the é€"


def test_bytes_are_text_where_the_model_has_none(pieces):
    assert pieces.detokenize(["▁<0xC3>", "a"]) == "<0xC3>a"


@pytest.mark.parametrize("data", [b"", b"no model", b"token\t1\n" * 99])
def test_another_file_is_no_model(tmp_path, data):
    (tmp_path / "x.model").write_bytes(data)
    with pytest.raises(CorpusError, match=r"x\.model is not a SentencePiece model"):
        load_sentencepiece(tmp_path / "x.model")


def test_a_piece_with_a_blank_is_refused(tmp_path):
    model = train_otherwise(vocab_size=60, model_type="bpe")
    changed = model.replace("▁the".encode(), b"ab the")
    assert changed != model
    (tmp_path / "x.model").write_bytes(changed)
    with pytest.raises(CorpusError, match="the piece 'ab the' holds a blank"):
        load_sentencepiece(tmp_path / "x.model")
