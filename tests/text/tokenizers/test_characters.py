from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.tokenizers.characters import CharacterTokenizer


def word(alphabet):
    return st.text(alphabet, min_size=1, max_size=8)


@given(st.lists(word("ab▁é\u00a0"), min_size=1))
def test_tokens_are_joined_to_the_same_line(words):
    line = " ".join(words)
    tokenizer = CharacterTokenizer()
    assert tokenizer.detokenize(tokenizer.tokenize(line)) == line


def test_a_space_differs_from_a_literal_mark():
    assert CharacterTokenizer().tokenize(" a  b▁") == ["a", "▁", "b", "▁▁"]
