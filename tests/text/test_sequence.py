import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.sequence import append_eos, drop_eos, replace_specials, reverse

tokens = st.lists(st.text(min_size=1).filter(lambda t: t != "</s>"))


@given(tokens)
def test_reversing_twice_changes_nothing(sequence):
    assert reverse(reverse(sequence)) == sequence


@given(tokens)
def test_drop_eos_undoes_append_eos(sequence):
    assert drop_eos(append_eos(sequence)) == sequence
    assert drop_eos(sequence) == sequence


@pytest.mark.parametrize("special", ["<pad>", "<unk>", "</s>"])
def test_a_literal_special_symbol_becomes_unk(special):
    assert replace_specials(["a", special, "b"]) == (["a", "<unk>", "b"], 1)


def test_tokens_without_special_symbols_stay_as_they_are():
    assert replace_specials(["a", "</S>"]) == (["a", "</S>"], 0)
