import json

import pytest

from pipelines.artifacts.report import Metric, Report, read_report, write_report
from pipelines.errors import CorruptArtifactError, MissingArtifactError, VersionError

REPORT = Report(
    num_lines=2,
    num_hyp_tokens=9,
    num_ref_tokens=10,
    metrics=(
        Metric("bleu_tokenised", 34.5, "nrefs:1|tok:none", 33.5, 35.5),
        Metric("exact_match", 50.0, "nrefs:1|case:mixed|unit:line"),
    ),
    perplexity=5.25,
)

GOLDEN = """\
{
  "version": 1,
  "num_lines": 2,
  "num_hyp_tokens": 9,
  "num_ref_tokens": 10,
  "metrics": [
    {
      "name": "bleu_tokenised",
      "value": 34.5,
      "signature": "nrefs:1|tok:none",
      "low": 33.5,
      "high": 35.5
    },
    {
      "name": "exact_match",
      "value": 50.0,
      "signature": "nrefs:1|case:mixed|unit:line",
      "low": null,
      "high": null
    }
  ],
  "perplexity": 5.25
}
"""


def test_a_written_report_is_plain_json_and_is_read_back(tmp_path):
    path = tmp_path / "report.json"
    write_report(path, REPORT)
    assert path.read_text() == GOLDEN
    assert read_report(path) == REPORT
    assert Report.from_json(json.loads(json.dumps(REPORT.to_json()))) == REPORT


def test_a_report_gives_a_metric_by_name():
    assert REPORT.metric("exact_match").value == 50.0
    with pytest.raises(KeyError):
        REPORT.metric("meteor")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 1}', GOLDEN.replace("num_lines", "lines")],
)
def test_a_damaged_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(CorruptArtifactError, match=r"report\.json is damaged"):
        read_report(path)


def test_a_missing_report_names_the_command(tmp_path):
    with pytest.raises(MissingArtifactError, match="not found") as caught:
        read_report(tmp_path / "report.json")
    assert caught.value.hint == "s2s score"


def test_a_report_of_another_version_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(GOLDEN.replace('"version": 1', '"version": 2'))
    with pytest.raises(VersionError, match="format 2, this s2s reads 1"):
        read_report(path)


@pytest.mark.parametrize(("nrefs", "expected"), [("1", True), ("2", False)])
def test_a_report_knows_whether_there_was_one_reference(nrefs, expected):
    metric = Metric("chrf", 1.0, f"nrefs:{nrefs}|case:lc")
    assert Report(1, 1, 1, (metric,)).has_one_reference is expected
