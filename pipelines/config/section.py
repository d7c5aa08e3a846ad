"""The base of every section of `s2s.toml`: strictness, fingerprints and common types.

Three marks, put on a field by `Field(json_schema_extra=...)`, keep it out of the
fingerprint of its stage:

- `EXECUTION`: the setting changes no result except by rounding.
- `INPUT_FILE`: the setting is the path of a file. The file's SHA-256 is among the
  stage's inputs, so its name does not matter.
- `LATER`: the setting was added when projects existed without it, and its default does
  what was done before. At the default it is left out, so that their manifests stay up
  to date; at any other value it counts like every setting.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

SETTINGS = "s2s.toml"
"""Name of the file that the user edits; `Layout.settings` is its path."""

EXECUTION: Any = {"fingerprint": "never"}
INPUT_FILE: Any = {"fingerprint": "content of the file"}
LATER: Any = {"fingerprint": "unless default"}


@dataclass(frozen=True, slots=True)
class Expected:
    """Mark of a field whose type does not say in words what the setting accepts.

    Attributes:
        text: What it accepts, as it follows "expected" in an error.
        words: The words among the accepted values.
    """

    text: str
    words: tuple[str, ...] = ()


NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Device = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$"),
    Expected("auto, cpu, cuda or cuda:N", ("auto", "cpu", "cuda")),
]


class Section(BaseModel):
    """A section of `s2s.toml`: frozen, and it refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def fingerprinted(self) -> dict[str, Any]:
        """Return the settings that can change a result, as plain JSON values.

        Fields marked `EXECUTION` or `INPUT_FILE` are left out, and those marked `LATER`
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
