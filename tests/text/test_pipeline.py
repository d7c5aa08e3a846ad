import json
import logging
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts.files import sha256_bytes
from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.errors import VersionError
from pipelines.text import TextPipeline, TextSettings
from pipelines.text.tokenizers.sentencepiece_model import train_sentencepiece

SETTINGS = TextSettings("en", "fr", "none", False, "nfc", True)
WORDS = ("a", "b", "c", "d")
VOCABULARY = Vocabulary((*SPECIALS, *WORDS), (0, 0, 9, 4, 3, 2, 1))


def pipeline(**settings) -> TextPipeline:
    models = {}
    if settings.get("tokenizer") == "sentencepiece":
        model = train_sentencepiece(["a b c the cat"] * 9, kind="bpe", vocab_size=40)
        models = {"source.spm": model, "target.spm": model}
    return TextPipeline(replace(SETTINGS, **settings), VOCABULARY, VOCABULARY, models)


def test_source_is_reversed_and_target_is_not():
    assert pipeline().tokenize_source("a b c").tokens == ["c", "b", "a", "</s>"]
    assert pipeline().tokenize_target("a b c").tokens == ["a", "b", "c", "</s>"]


def test_source_stays_in_order_when_reversal_is_off():
    kept = pipeline(reverse_source=False)
    assert kept.tokenize_source("a b c").tokens == ["a", "b", "c", "</s>"]


def test_ids_end_in_eos_and_unknown_tokens_become_unk():
    assert pipeline().source_ids("a x d") == [6, 1, 3, 2]
    assert pipeline().target_ids("a x d") == [3, 1, 6, 2]


@pytest.mark.parametrize("tokenizer", ["moses", "sentencepiece", "characters", "none"])
@pytest.mark.parametrize("line", ["", "  ", "\t\x00", "\u2028", "\u00a0"])
def test_a_blank_line_is_eos_alone(tokenizer, line):
    text = pipeline(tokenizer=tokenizer)
    assert text.tokenize_source(line).tokens == ["</s>"]
    assert text.tokenize_target(line).tokens == ["</s>"]


@pytest.mark.parametrize("tokenizer", ["moses", "sentencepiece", "characters", "none"])
@given(line=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_line_has_one_eos_and_tokens_without_spaces(tokenizer, line):
    tokens = PIPELINES[tokenizer].tokenize_source(line).tokens
    assert tokens.index("</s>") == len(tokens) - 1
    assert all(t and not set(t) & set(" \t\n\r") for t in tokens)


PIPELINES = {
    name: pipeline(tokenizer=name)
    for name in ("moses", "sentencepiece", "characters", "none")
}


@pytest.mark.parametrize("special", SPECIALS)
def test_a_literal_special_symbol_never_ends_a_sentence(special):
    tokenized = pipeline().tokenize_source(f"a {special} b")
    assert tokenized.tokens == ["b", "<unk>", "a", "</s>"]
    assert tokenized.num_specials == 1


def test_control_characters_are_counted():
    assert pipeline().tokenize_target("a\x00b\u0085c").num_controls == 2


def test_lowercase_applies_to_both_sides():
    lower = pipeline(lowercase=True)
    assert lower.tokenize_source("A É").tokens == ["é", "a", "</s>"]
    assert lower.tokenize_target("A É").tokens == ["a", "é", "</s>"]


@given(st.lists(st.sampled_from(WORDS), min_size=1))
def test_ids_decode_to_the_text_they_encode(words):
    line = " ".join(words)
    *ids, _ = pipeline().target_ids(line)
    assert pipeline().target_text(VOCABULARY.tokens_of(ids)) == line


def test_target_text_is_detokenized():
    moses = pipeline(tokenizer="moses")
    assert moses.target_text(["l'", "homme", "rit", "."]) == "l'homme rit."
    assert moses.target_text([]) == ""


@pytest.mark.parametrize(
    ("settings", "line", "expected"),
    [
        ({"tokenizer": "none"}, "L'homme\t rit.", "L'homme rit."),
        ({"tokenizer": "moses"}, "L'homme rit.", "L' homme rit ."),
        (
            {"tokenizer": "moses", "lowercase": True},
            "L'homme rit.",
            "l' homme rit .",
        ),
        ({"tokenizer": "characters"}, "L'homme rit.", "L' homme rit ."),
        ({"tokenizer": "sentencepiece"}, "L'homme rit.", "L' homme rit ."),
        ({"tokenizer": "moses"}, "un <unk>, oui", "un <unk> , oui"),
        ({"tokenizer": "moses"}, "  ", ""),
    ],
)
def test_word_tokens_do_not_depend_on_the_subword_tokenizer(settings, line, expected):
    assert pipeline(**settings).word_tokens(line) == expected


@pytest.mark.parametrize("tokenizer", ["moses", "sentencepiece", "characters", "none"])
def test_a_line_of_100_000_words_is_tokenized(tokenizer):
    tokens = PIPELINES[tokenizer].tokenize_target("the cat, " * 50_000).tokens
    assert len(tokens) > 100_000
    assert PIPELINES[tokenizer].target_text(tokens[:-1])


@pytest.mark.parametrize("tokenizer", ["moses", "sentencepiece", "characters", "none"])
def test_a_loaded_pipeline_equals_the_saved_one(tmp_path, tokenizer):
    saved = PIPELINES[tokenizer]
    saved.save(tmp_path / "text")
    loaded = TextPipeline.load(tmp_path / "text")
    assert loaded.settings == saved.settings
    assert loaded.source_vocab == saved.source_vocab
    assert loaded.target_vocab == saved.target_vocab
    assert (
        loaded.tokenize_source("The cat, a b").tokens
        == saved.tokenize_source("The cat, a b").tokens
    )
    assert loaded.source_tokenizer == loaded.target_tokenizer == tokenizer
    assert loaded.lowercase is False


def test_a_pipeline_can_be_pickled():
    moses = pipeline(tokenizer="moses")
    moses.build_tokenizers()
    assert pickle.loads(pickle.dumps(moses)).source_ids("a b") == [4, 3, 2]


def test_sides_with_different_tokenizers_read_and_write_their_own(tmp_path):
    letters = pipeline(tokenizer="characters", target_tokenizer="none")
    assert letters.tokenize_source("ab c").tokens == ["c", "▁", "b", "a", "</s>"]
    assert letters.tokenize_target("ab c").tokens == ["ab", "c", "</s>"]
    assert letters.unknown_source_words("ax") == ["x"]
    letters.save(tmp_path)
    loaded = TextPipeline.load(tmp_path)
    assert loaded.settings == letters.settings
    assert (loaded.source_tokenizer, loaded.target_tokenizer) == ("characters", "none")
    assert loaded.target_text(["ab", "c"]) == "ab c"


@pytest.mark.parametrize(
    ("source", "target", "words", "warned"),
    [
        ("moses", "none", "it's", False),
        ("none", "characters", "it 's", False),
        ("none", "moses", "it 's", True),
    ],
)
def test_word_tokens_depend_on_the_tokenizer_of_the_target(
    caplog, source, target, words, warned
):
    language = f"xx-{source}-{target}"
    text = pipeline(tokenizer=source, target_tokenizer=target, target_lang=language)
    with caplog.at_level(logging.WARNING):
        assert text.word_tokens("it's") == words
    assert bool(caplog.records) is warned


def test_load_refuses_unknown_settings_and_names_them(tmp_path):
    pipeline().save(tmp_path)
    path = tmp_path / "pipeline.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    content["settings"]["vowels"] = "long"
    text = json.dumps(content, sort_keys=True)
    path.write_text(json.dumps(content | {"sha256": sha256_bytes(text.encode())}))
    with pytest.raises(VersionError, match=r"does not know.*vowels"):
        TextPipeline.load(tmp_path)


def test_importing_the_text_rules_imports_nothing_heavy():
    code = (
        "import sys, pipelines.preprocess, pipelines.binarize, pipelines.text\n"
        "heavy = {'torch', 'sacremoses', 'sentencepiece', 'num2words'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_given_tokens_are_not_tokenized_again():
    rules = pipeline(lowercase=True)
    text = " ".join(rules.target_vocab.tokens[3:5])
    assert rules.target_ids_of_tokens(text.upper().split()) == [3, 4, 2]
    assert rules.target_ids_of_tokens(["</s>", "<pad>", "unseen"]) == [1, 1, 1, 2]
    assert rules.target_ids_of_tokens([]) == [2]


def test_content_hashes_name_what_differs():
    hashes = pipeline().content_hashes()
    assert hashes.keys() == {"settings", "source.vocab.tsv", "target.vocab.tsv"}
    assert pipeline().content_hashes() == hashes
    other = pipeline(lowercase=True).content_hashes()
    assert {name for name in hashes if hashes[name] != other[name]} == {"settings"}
