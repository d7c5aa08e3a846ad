from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.tokenizers.whitespace import WhitespaceTokenizer


def word(alphabet):
    return st.text(alphabet, min_size=1, max_size=8)


@given(st.lists(word("ab\u00a0\u202fé▁<"), min_size=1))
def test_tokens_are_joined_to_the_same_line(words):
    line = " ".join(words)
    tokenizer = WhitespaceTokenizer()
    assert tokenizer.tokenize(line) == words
    assert tokenizer.detokenize(words) == line


def test_runs_of_spaces_separate_two_tokens():
    assert WhitespaceTokenizer().tokenize(" a \t b ") == ["a", "b"]
