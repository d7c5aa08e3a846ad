"""The score report, `report.json`.

Holds what a comparison with other results needs: each metric's value, its signature
and, where one was computed, its 95 % confidence interval.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.errors import CorruptArtifactError, MissingArtifactError, VersionError

FORMAT_VERSION = 1
METRIC_LABELS = {
    "bleu_tokenised": "BLEU, tokenised",
    "bleu_detokenised": "BLEU, detokenised",
    "chrf": "chrF",
    "ter": "TER",
    "exact_match": "exact match %",
    "token_error_rate": "token error rate %",
}
"""Name of each metric in `report.json` -> its name in a table."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a report."""

    name: str
    value: float
    """0 to 100, in percent or points; error rates may exceed 100."""
    signature: str
    """Settings it was computed with, in sacreBLEU's notation."""
    low: float | None = None
    """Lower bound of the 95 % confidence interval."""
    high: float | None = None
    """Upper bound of the 95 % confidence interval."""


@dataclass(frozen=True, slots=True)
class Report:
    """The metrics of one translation."""

    num_lines: int
    num_hyp_tokens: int
    """Tokens of the translation, as the tokenised metrics count them."""
    num_ref_tokens: int
    """Tokens of the reference; of the first one where there are several."""
    metrics: tuple[Metric, ...]
    perplexity: float | None = None
    """Perplexity of the reference under the model; None without a model."""

    @property
    def has_one_reference(self) -> bool:
        """Whether every line was scored against exactly one reference."""
        return self.metrics[0].signature.startswith("nrefs:1|")

    def metric(self, name: str) -> Metric:
        """The metric with that name.

        Raises:
            KeyError: There is none.
        """
        return {metric.name: metric for metric in self.metrics}[name]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; unknown ones are null."""
        return {"version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Report":
        """Build the report that `to_json` was called on.

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
    """Read a report.

    Raises:
        MissingArtifactError: There is no such file.
        CorruptArtifactError: The file is not a report.
        VersionError: Another version of s2s wrote it, in another format.
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
