import pytest

from pipelines import preprocess, score
from pipelines.artifacts.manifest import damaged_files, read_manifest, write_manifest
from pipelines.artifacts.report import METRIC_LABELS, read_report
from pipelines.config.schema import Config, ScoreConfig
from pipelines.errors import (
    CorpusError,
    CorruptArtifactError,
    MissingArtifactError,
)
from pipelines.project.stages import new_manifest
from pipelines.project.status import StageState, stage_status
from tests.small_corpus import make_project, write_lines, write_pairs

PAIRS = [
    ("the cat", "Le chat dort, oui !"),
    ("the dog", "Un chien court vite ici."),
    ("nothing", "Rien."),
]
OUTPUT = ["Le chat dort, oui !", "Un chien court ici.", ""]
TOKENS = ["Le chat dort , oui !", "Un chien court ici .", ""]
ORDER = list(METRIC_LABELS)
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
    manifest = new_manifest("translate", config, layout, {"perplexity": 4.5})
    write_manifest(layout.translate, manifest)
    return config, layout


def test_a_translation_is_scored_against_the_raw_reference(tmp_path):
    config, layout = translated_project(tmp_path)
    manifest = score.run(config, layout)
    assert manifest == read_manifest(layout.score)
    assert damaged_files(layout.score) == []
    assert stage_status("score", config, layout).state is StageState.FRESH
    report = read_report(layout.score / "report.json")
    assert [metric.name for metric in report.metrics] == ORDER
    assert (report.num_lines, report.perplexity) == (3, 4.5)
    assert (report.num_hyp_tokens, report.num_ref_tokens) == (11, 14)
    assert report.metric("exact_match").value == pytest.approx(100 / 3)
    assert report.metric("token_error_rate").value == pytest.approx(100 * 3 / 14)
    assert manifest.counts["lines"] == 3
    assert manifest.counts["exact_match"] == 33.3333


def lower_cased_project(folder, **scored):
    """A finished project whose model, and so its output, is lower-cased."""
    output, tokens = ([line.lower() for line in lines] for lines in (OUTPUT, TOKENS))
    config, layout = translated_project(
        folder, output=output, tokens=tokens, lowercase=True
    )
    # Validation resolves `auto`.
    wanted = config.model_dump() | {"score": {"bootstrap_samples": 0, **scored}}
    return Config.model_validate(wanted), layout


def test_the_score_follows_the_case_of_the_models_text(tmp_path):
    config, layout = lower_cased_project(tmp_path)
    manifest = score.run(config, layout)
    assert manifest.settings["score.lowercase"] is True
    report = read_report(layout.score / "report.json")
    assert report.metric("token_error_rate").value == pytest.approx(100 * 3 / 14)
    assert report.metric("exact_match").value == pytest.approx(100 / 3)
    for metric in report.metrics:
        assert "case:lc" in metric.signature


def test_case_counts_when_it_is_set_to(tmp_path):
    config, layout = lower_cased_project(tmp_path, lowercase=False)
    manifest = score.run(config, layout)
    assert manifest.settings["score.lowercase"] is False
    report = read_report(layout.score / "report.json")
    assert report.metric("token_error_rate").value == pytest.approx(100 * 5 / 14)
    assert "case:mixed" in report.metric("bleu_tokenised").signature


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        ("moses", "the decoder's own tokens; the reference's words by Moses' rules"),
        ("none", "the decoder's own tokens; the reference's words between spaces"),
        ("sentencepiece", "words by Moses' rules for fr"),
        ("characters", "words by Moses' rules for fr"),
    ],
)
def test_the_counted_tokens_are_described(tokenizer, words):
    config = Config.model_validate({"preprocess": {"tokenizer": tokenizer}})
    assert score.describe_tokens(config).startswith(words)


def test_characters_are_scored_as_words(tmp_path):
    config, layout = translated_project(
        tmp_path, tokens=["L e", "U n", ""], tokenizer="characters"
    )
    score.run(config, layout)
    report = read_report(layout.score / "report.json")
    assert (report.num_hyp_tokens, report.num_ref_tokens) == (11, 14)


def test_a_missing_translation_is_refused(tmp_path):
    config, layout = make_project(tmp_path)
    with pytest.raises(MissingArtifactError, match=r"manifest\.json not found"):
        score.run(config, layout)


def test_a_damaged_translation_is_refused(tmp_path):
    config, layout = translated_project(tmp_path)
    (layout.translate / "output.txt").write_text("x\n")
    with pytest.raises(CorruptArtifactError, match=r"output\.txt has 2 bytes"):
        score.run(config, layout)


def test_another_number_of_lines_is_refused(tmp_path):
    config, layout = translated_project(tmp_path, output=OUTPUT[:2], tokens=TOKENS[:2])
    with pytest.raises(CorpusError) as caught:
        score.run(config, layout)
    output = layout.translate / "output.txt"
    assert caught.value.message == (
        f"{output} has 2 lines, {tmp_path / 'test.fr'} has 3"
    )


@pytest.fixture
def files(tmp_path):
    """Write files into a folder."""

    def write(**named):
        paths = []
        for name, lines in named.items():
            paths.append(tmp_path / f"{name}.txt")
            write_lines(paths[-1], lines)
        return paths

    return write


def test_any_translation_is_scored_against_a_file(files):
    hyp, ref = files(hyp=["a b c d", ""], ref=["a b c d", "e f"])
    report = score.score_files(hyp, [ref], config=PLAIN)
    assert [metric.name for metric in report.metrics] == ORDER
    assert report.metric("exact_match").value == 50
    assert report.perplexity is None
    assert report.metric("bleu_tokenised").low is None


def test_case_counts_for_files_unless_set_otherwise(files):
    hyp, ref = files(hyp=["a"], ref=["A"])
    report = score.score_files(hyp, [ref], config=PLAIN)
    assert report.metric("exact_match").value == 0
    ignored = ScoreConfig(bootstrap_samples=0, lowercase=True)
    report = score.score_files(hyp, [ref], config=ignored)
    assert report.metric("exact_match").value == 100


@pytest.mark.parametrize(
    ("hyp", "ref", "lowercase", "warned"),
    [
        (["a", "b"], ["a", "B"], "auto", True),
        (["a", "b"], ["a", "B"], True, False),
        (["a", "B"], ["A", "b"], "auto", False),
        (["a", "b"], ["a", "b"], "auto", False),
    ],
)
def test_a_lower_cased_translation_of_cased_text_gives_a_warning(
    files, caplog, hyp, ref, lowercase, warned
):
    paths = files(hyp=hyp, ref=ref)
    config = ScoreConfig(bootstrap_samples=0, lowercase=lowercase)
    score.score_files(paths[0], paths[1:], config=config)
    assert ("hyp.txt has no capital letter" in caplog.text) is warned


def test_several_references_are_alternatives(files):
    hyp, *refs = files(
        hyp=["a b c d e", "x y"],
        one=["a b c d f", "x y z"],
        two=["a b c d e", ""],
        three=["g", "  "],
    )
    report = score.score_files(hyp, refs[:1], config=PLAIN)
    assert "nrefs:1|" in report.metric("bleu_tokenised").signature
    several = score.score_files(hyp, refs, config=PLAIN)
    assert several.metric("exact_match").value == 50
    assert several.metric("token_error_rate").value == pytest.approx(100 / 8)
    for metric in several.metrics:
        assert metric.signature.startswith("nrefs:var|")
        better = metric.value - report.metric(metric.name).value
        assert better < 0 if metric.name in ("ter", "token_error_rate") else better > 0
    assert (several.num_hyp_tokens, several.num_ref_tokens) == (7, 8)
    two = score.score_files(refs[0], [refs[0], hyp], config=PLAIN)
    assert all(m.signature.startswith("nrefs:2|") for m in two.metrics)


def test_an_empty_line_of_the_first_reference_is_a_reference(files):
    hyp, one, two = files(hyp=["a", ""], one=["a", ""], two=["b", "c"])
    report = score.score_files(hyp, [one, two], config=PLAIN)
    assert report.metric("exact_match").value == 100
    assert report.metric("exact_match").signature.startswith("nrefs:2|")


def test_bootstrap_samples_give_every_metric_an_interval(tmp_path):
    config = ScoreConfig(bootstrap_samples=20, seed=5)
    report = score.score_texts(["a b c d", "x"], ["a b c d", "y"], config=config)
    for metric in report.metrics:
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high
        assert "bs:20|seed:5" in metric.signature


@pytest.mark.parametrize(
    ("hyp", "message", "hint"),
    [
        (b"a\n", r"hyp has 1 line, .*ref\.txt has 2$", "cut short"),
        (b"a\nb\nc\n", r"hyp has 3 lines, .*ref\.txt has 2$", "of another file"),
        (b"0 ||| a ||| LSTM= -1 ||| -1\n", r"hyp has 1 line,", "without --nbest"),
        (b'{"line": 1}\n', r"hyp has 1 line,", "without --json"),
        (b"", r"hyp is empty, expected a translation$", "fail"),
        (b"\n \n", r"hyp has 2 lines, none with text$", "fail"),
        (b"a\n\xe9\n", r"hyp:2: not UTF-8", "iconv"),
    ],
)
def test_a_translation_that_cannot_be_scored_is_refused(
    tmp_path, files, hyp, message, hint
):
    path, (ref,) = tmp_path / "hyp", files(ref=["a", "b"])
    path.write_bytes(hyp)
    with pytest.raises(CorpusError, match=message) as caught:
        score.score_files(path, [ref], config=PLAIN)
    assert hint in caught.value.hint


def test_every_reference_is_checked(tmp_path, files):
    hyp, one, short = files(hyp=["a", "b"], one=["a", "b"], short=["a"])
    with pytest.raises(CorpusError, match=r"hyp\.txt has 2 lines, .*short\.txt has 1$"):
        score.score_files(hyp, [one, short], config=PLAIN)
    (tmp_path / "latin").write_bytes(b"a\n\xe9\n")
    with pytest.raises(CorpusError, match=r"latin:2: not UTF-8"):
        score.score_files(hyp, [one, tmp_path / "latin"], config=PLAIN)


def test_hypotheses_and_references_need_equal_numbers_of_lines():
    with pytest.raises(
        CorpusError, match=r"2 lines \(2 of tokens\).*1 \(1 of tokens\)"
    ):
        score.score_texts(["a", "b"], ["a"], config=PLAIN)
    with pytest.raises(CorpusError, match=r"1 of tokens"):
        score.score_texts(["a", "b"], ["a", "b"], config=PLAIN, hyp_tokens=["a"])
    with pytest.raises(CorpusError, match="nothing to score"):
        score.score_texts([], [], config=PLAIN)
