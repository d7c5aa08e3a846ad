"""The tests let no warning pass: a leak of ours fails the test that finds it."""

import sys
import warnings

import pytest


def test_a_file_that_is_left_open_is_an_error(tmp_path, monkeypatch):
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda seen: found.append(seen.exc_type))
        (tmp_path / "file").open("w")  # never closed
    assert found == [ResourceWarning]
    with pytest.raises(pytest.PytestUnraisableExceptionWarning):
        warnings.warn(pytest.PytestUnraisableExceptionWarning("leak"), stacklevel=1)
