"""The score report: `report.json`, its values and their meaning.

Everything a result needs to be compared with another's: each metric's value, its
sacreBLEU signature and, where it was asked for, its 95 % confidence interval.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.errors import CorruptArtifactError, MissingArtifactError, VersionError

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a report."""

    name: str
    value: float
    """0 to 100, in percent or points; error rates may exceed 100."""
    signature: str
    """How it was computed, as sacreBLEU writes it."""
    low: float | None = None
    """Lower end of the 95 % confidence interval."""
    high: float | None = None
    """Upper end of the 95 % confidence interval."""


@dataclass(frozen=True, slots=True)
class Report:
    """How good a translation is."""

    num_lines: int
    num_hyp_tokens: int
    """Of the translation, as counted by the tokenised metrics."""
    num_ref_tokens: int
    """Tokens of the reference; of the first one where there are several."""
    metrics: tuple[Metric, ...]
    perplexity: float | None = None
    """Of the reference under the model, where a model was at hand."""

    def metric(self, name: str) -> Metric:
        """The metric of that name.

        Raises:
            KeyError: There is none.
        """
        return {metric.name: metric for metric in self.metrics}[name]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; what is not known is null."""
        return {"version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Report":
        """The report that `to_json` gave.

        Raises:
            KeyError, TypeError: A field is missing, unknown or of another type.
        """
        fields = {key: value for key, value in content.items() if key != "version"}
        metrics = tuple(Metric(**metric) for metric in fields.pop("metrics"))
        return cls(metrics=metrics, **fields)


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON."""
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode())


def read_report(path: Path) -> Report:
    """Read what `write_report` wrote.

    Raises:
        MissingArtifactError: There is no such file.
        CorruptArtifactError: It is not a report.
        VersionError: Another version of s2s wrote it in another format.
    """
    try:
        content = json.loads(path.read_bytes())
        version = content["version"]
        if version != FORMAT_VERSION:
            raise VersionError(
                f"{path} has format {version}, this s2s reads {FORMAT_VERSION}",
                hint="s2s score --force",
            )
        return Report.from_json(content)
    except FileNotFoundError:
        raise MissingArtifactError(f"{path} not found", hint="s2s score") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(
            f"{path} is damaged: {error}", hint="s2s score --force"
        ) from error
