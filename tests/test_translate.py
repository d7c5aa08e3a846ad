import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import TranslateConfig
from pipelines.errors import S2SError
from pipelines.search.translator import Output, Translation
from pipelines.translate import entries, translate_stream


class Echo:
    """Translates a line into itself."""

    config = TranslateConfig(max_source_length=5)

    def translate(self, lines):
        return [
            Translation((Output(x, (x,), -1.0, -1.0, ()),), truncated=len(x) > 5)
            for x in lines
        ]


@given(st.lists(st.lists(st.binary(max_size=8), max_size=5), max_size=5))
def test_one_line_in_one_line_out_for_any_bytes(windows):
    found = [t for window in translate_stream(windows, Echo()) for t in window]
    raw = [line for window in windows for line in window]
    assert [t.text for t in found] == [line.decode(errors="replace") for line in raw]


def test_bad_bytes_and_cut_lines_are_told_with_their_numbers(caplog):
    windows = [[b"ok", b"\xff"], [b"toolong", b"\xfe", b"x", b"\xfd", b"\xfc"]]
    assert [len(w) for w in translate_stream(windows, Echo())] == [2, 5]
    assert "4 lines not UTF-8" in caplog.text
    assert "lines 2, 4, 6, ..." in caplog.text
    assert "1 line longer than 5 tokens" in caplog.text


def test_a_stream_of_empty_translations_is_told(caplog):
    class Empty(Echo):
        def translate(self, lines):
            empty = Output("", (), -1.0, -1.0, ())
            return [Translation((empty,) if line else ()) for line in lines]

    list(translate_stream([[b"", b"a"], [b"b"]], Empty(), first=5))
    assert "2 of 2 translations are empty, the first that of line 7" in caplog.text
    caplog.clear()
    list(translate_stream([[b"a"]], Empty()))
    assert "1 of 1 translation is empty, the first that of line 1" in caplog.text
    caplog.clear()
    list(translate_stream([[b"", b""]], Empty()))
    assert caplog.text == ""


@pytest.mark.parametrize(("num_unknown", "told"), [(1, False), (3, True)])
def test_a_stream_of_unknown_tokens_is_told(caplog, num_unknown, told):
    class Strange(Echo):
        def translate(self, lines):
            candidates = super().translate(lines)[0].candidates
            return [Translation(candidates, False, 4, num_unknown) for _ in lines]

    list(translate_stream([[b"a"], [b"b", b"c"]], Strange()))
    assert ("75 % of the input's tokens are not in" in caplog.text) == told
    assert ("source vocabulary" in caplog.text) == told


def test_a_lost_line_is_an_error_not_a_shorter_output():
    class Loser(Echo):
        def translate(self, lines):
            return super().translate(lines)[:-1]

    with pytest.raises(S2SError, match="2 lines in, 1 line out"):
        list(translate_stream([[b"a", b"b"]], Loser()))


def test_entries_carry_the_log_probability_and_the_score():
    candidate = Output("A b", ("A", "b"), -1.5, -0.5, (-1.0, -0.5))
    (entry,) = entries(3, Translation((candidate,)))
    assert (entry.sentence, entry.tokens) == (3, ("A", "b"))
    assert entry.features == {"LSTM": (-1.5,)}
    assert entry.score == -0.5
