import pytest

from pipelines import plan, preprocess, score
from pipelines.artifacts.manifest import damaged_files, read_manifest, write_manifest
from pipelines.artifacts.report import read_report
from pipelines.config.schema import ScoreConfig
from pipelines.errors import (
    CorpusError,
    CorruptArtifactError,
    MissingArtifactError,
)
from pipelines.plan import State
from tests.small_corpus import make_project, write_lines, write_pairs

PAIRS = [
    ("the cat", "Le chat dort, oui !"),
    ("the dog", "Un chien court vite ici."),
    ("nothing", "Rien."),
]
OUTPUT = ["Le chat dort, oui !", "Un chien court ici.", ""]
TOKENS = ["Le chat dort , oui !", "Un chien court ici .", ""]
ORDER = [
    "bleu_tokenised",
    "bleu_detokenised",
    "chrf",
    "ter",
    "exact_match",
    "token_error_rate",
]
PLAIN = ScoreConfig(bootstrap_samples=0)


def translated_project(folder, *, output=OUTPUT, tokens=TOKENS, scored=PLAIN, **text):
    """A project whose test split a fake model has translated."""
    write_pairs(folder, "test", PAIRS)
    config, layout = make_project(folder, **text)
    config = config.model_copy(update={"score": scored})
    preprocess.run(config, layout)
    layout.translate.mkdir(parents=True)
    write_lines(layout.translate / "output.txt", output)
    write_lines(layout.translate / "tokens.txt", tokens)
    manifest = plan.new_manifest("translate", config, layout, {"perplexity": 4.5})
    write_manifest(layout.translate, manifest)
    return config, layout


def test_a_translation_is_scored_against_the_raw_reference(tmp_path):
    config, layout = translated_project(tmp_path)
    manifest = score.run(config, layout)
    assert manifest == read_manifest(layout.score)
    assert damaged_files(layout.score) == []
    assert plan.standing("score", config, layout).state is State.FRESH
    report = read_report(layout.score / "report.json")
    assert [metric.name for metric in report.metrics] == ORDER
    assert (report.num_lines, report.perplexity) == (3, 4.5)
    assert (report.num_hyp_tokens, report.num_ref_tokens) == (11, 14)
    assert report.metric("exact_match").value == pytest.approx(100 / 3)
    assert report.metric("token_error_rate").value == pytest.approx(100 * 3 / 14)
    assert manifest.counts["lines"] == 3
    assert manifest.counts["exact_match"] == 33.3333


def test_the_reference_keeps_its_case_where_the_text_is_lower_cased(tmp_path):
    lower = [line.lower() for line in OUTPUT], [line.lower() for line in TOKENS]
    config, layout = translated_project(
        tmp_path, output=lower[0], tokens=lower[1], lowercase=True
    )
    score.run(config, layout)
    cased = read_report(layout.score / "report.json")
    assert cased.metric("token_error_rate").value == pytest.approx(100 * 5 / 14)
    ignored = ScoreConfig(bootstrap_samples=0, lowercase=True)
    score.run(config.model_copy(update={"score": ignored}), layout)
    report = read_report(layout.score / "report.json")
    assert report.metric("token_error_rate").value == pytest.approx(100 * 3 / 14)
    for metric in report.metrics:
        assert "case:lc" in metric.signature


def test_characters_are_scored_as_words(tmp_path):
    config, layout = translated_project(
        tmp_path, tokens=["L e", "U n", ""], tokenizer="characters"
    )
    score.run(config, layout)
    report = read_report(layout.score / "report.json")
    assert (report.num_hyp_tokens, report.num_ref_tokens) == (11, 14)


def test_a_missing_translation_is_named(tmp_path):
    config, layout = make_project(tmp_path)
    with pytest.raises(MissingArtifactError, match=r"manifest\.json not found"):
        score.run(config, layout)


def test_a_damaged_translation_is_named(tmp_path):
    config, layout = translated_project(tmp_path)
    (layout.translate / "output.txt").write_text("x\n")
    with pytest.raises(CorruptArtifactError, match=r"output\.txt has 2 bytes"):
        score.run(config, layout)


def test_another_number_of_lines_is_refused(tmp_path):
    config, layout = translated_project(tmp_path, output=OUTPUT[:2], tokens=TOKENS[:2])
    with pytest.raises(CorpusError) as found:
        score.run(config, layout)
    output = layout.translate / "output.txt"
    assert found.value.message == (
        f"{output} has 2 lines, {tmp_path / 'test.fr'} has 3"
    )


def test_any_lines_are_scored_against_a_file(tmp_path):
    ref = tmp_path / "ref.txt"
    write_lines(ref, ["a b c d", "e f"])
    report = score.score_lines([b"a b c d", b""], ref, config=PLAIN)
    assert [metric.name for metric in report.metrics] == ORDER
    assert report.metric("exact_match").value == 50
    assert report.perplexity is None
    assert report.metric("bleu_tokenised").low is None


def test_intervals_are_given_when_asked_for(tmp_path):
    config = ScoreConfig(bootstrap_samples=20, seed=5)
    report = score.score_texts(["a b c d", "x"], ["a b c d", "y"], config=config)
    for metric in report.metrics:
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high
        assert "bs:20|seed:5" in metric.signature


@pytest.mark.parametrize(
    ("hyp", "message"),
    [
        ([b"a"], r"^standard input has 1 lines, .*ref\.txt has 2$"),
        ([b"a", b"\xe9"], r"^standard input:2: not UTF-8"),
    ],
)
def test_lines_that_cannot_be_scored_are_named(tmp_path, hyp, message):
    ref = tmp_path / "ref.txt"
    write_lines(ref, ["a", "b"])
    with pytest.raises(CorpusError, match=message):
        score.score_lines(hyp, ref, config=PLAIN)


def test_a_reference_that_is_not_utf8_is_named(tmp_path):
    ref = tmp_path / "ref.txt"
    ref.write_bytes(b"a\n\xe9\n")
    with pytest.raises(CorpusError, match=r"ref\.txt:2: not UTF-8"):
        score.score_lines([b"a", b"b"], ref, config=PLAIN)


def test_texts_need_as_many_lines_each():
    with pytest.raises(
        CorpusError, match=r"2 lines \(2 of tokens\).*1 \(1 of tokens\)"
    ):
        score.score_texts(["a", "b"], ["a"], config=PLAIN)
    with pytest.raises(CorpusError, match=r"1 of tokens"):
        score.score_texts(["a", "b"], ["a", "b"], config=PLAIN, hyp_tokens=["a"])
    with pytest.raises(CorpusError, match="nothing to score"):
        score.score_texts([], [], config=PLAIN)
