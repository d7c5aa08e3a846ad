import pytest
from pydantic import Field, ValidationError

from pipelines.config.section import EXECUTION, INPUT_FILE, LATER, Section


class Example(Section):
    """A section with a field of each kind."""

    cells: int = 4
    workers: int = Field(default=0, json_schema_extra=EXECUTION)
    vocab: str = Field(default="", json_schema_extra=INPUT_FILE)
    peepholes: bool = Field(default=False, json_schema_extra=LATER)
    """Use peepholes."""


class Ratio(Section):
    value: float


def test_a_fingerprint_leaves_out_execution_settings_and_paths():
    assert Example(workers=3, vocab="words.txt").fingerprinted() == {"cells": 4}


def test_a_setting_added_later_is_fingerprinted_unless_default():
    assert Example(peepholes=True).fingerprinted() == {"cells": 4, "peepholes": True}


def test_a_section_is_frozen_and_refuses_unknown_keys_and_infinity():
    with pytest.raises(ValidationError):
        Example().cells = 5
    with pytest.raises(ValidationError):
        Example.model_validate({"cell": 5})
    with pytest.raises(ValidationError):
        Ratio(value=float("inf"))


def test_a_docstring_describes_its_field():
    assert Example.model_fields["peepholes"].description == "Use peepholes."
