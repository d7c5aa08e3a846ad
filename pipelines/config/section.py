"""What all sections of `s2s.toml` share: strictness and the rule of the fingerprint.

Three marks, put on a field by `Field(json_schema_extra=...)`, keep it out of the
fingerprint of its stage. `EXECUTION`: the setting changes no result but by rounding.
`INPUT_FILE`: the setting is the path of a file; the file's SHA-256 is among the
stage's inputs, where it does not matter how the file is called. `LATER`: the setting
came after projects had been made without it, and its default does what was done
before; at that default it is left out, so that their manifests stay up to date, and at
any other value it counts like every setting.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

SETTINGS = "s2s.toml"
"""The file that the user edits; `Layout.settings` says where it lies."""

EXECUTION: Any = {"fingerprint": "never"}
INPUT_FILE: Any = {"fingerprint": "content of the file"}
LATER: Any = {"fingerprint": "unless default"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a setting accepts, in words, where its type does not say it.

    Attributes:
        text: As it follows "expected".
        words: The words among the values.
    """

    text: str
    words: tuple[str, ...] = ()


Pair = Annotated[tuple[str, ...], Field(max_length=2)]
NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A section of `s2s.toml`: unknown keys are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def fingerprinted(self) -> dict[str, Any]:
        """The settings that can change a result, as plain JSON values.

        Left out are fields marked `EXECUTION` or `INPUT_FILE`, and those marked `LATER`
        while they have their default.
        """
        left_out = {
            name
            for name, field in type(self).model_fields.items()
            if field.json_schema_extra in (EXECUTION, INPUT_FILE)
            or (
                field.json_schema_extra == LATER
                and getattr(self, name) == field.default
            )
        }
        return self.model_dump(mode="json", exclude=left_out)
