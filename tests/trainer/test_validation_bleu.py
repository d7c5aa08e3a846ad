import pytest

from pipelines.artifacts.vocab import EOS
from pipelines.config import TrainConfig, TranslateConfig
from pipelines.errors import CorpusError
from pipelines.search.translator import Translator
from pipelines.trainer.validation_bleu import ValidationBleu, validation_text
from tests.search.tiny import make_members, make_model, make_pipeline
from tests.small_corpus import make_project, write_pairs


def make_bleu(folder, pairs):
    write_pairs(folder, "valid", pairs)
    config, layout = make_project(folder)
    config = config.model_copy(update={"train": TrainConfig(precision="fp32")})
    ratio = make_members(1).length_ratio
    return ValidationBleu(config, layout, pipeline=make_pipeline(), length_ratio=ratio)


def silent_model():
    """A model that ends every translation at once."""
    model = make_model(1)
    assert model.decoder.output_bias_V is not None
    model.decoder.output_bias_V.data[EOS] = 1e4
    return model


def test_the_text_is_that_of_all_corpora_line_by_line(tmp_path):
    write_pairs(tmp_path, "valid", [("a b", "c"), ("d", "e  e")])
    config, layout = make_project(tmp_path)
    assert validation_text(config, layout) == [["a b", "d"], ["c", "e  e"]]


def test_greedy_translations_that_equal_the_references_score_100(tmp_path):
    model, sources = make_model(1), ["a b c d e", "b c d e a", "c c a b d"]
    translator = Translator(make_members(1), TranslateConfig(beam=1))
    references = [translation.text for translation in translator.translate(sources)]
    assert max(len(line.split()) for line in references) >= 4  # BLEU needs 4-grams
    bleu = make_bleu(tmp_path, list(zip(sources, references, strict=True)))
    assert bleu(model) == pytest.approx(100.0)


def test_empty_translations_score_zero(tmp_path):
    bleu = make_bleu(tmp_path, [("a b c", "a b c"), ("d", "d")])
    assert bleu(silent_model()) == 0.0


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    config, layout = make_project(tmp_path)
    (tmp_path / "valid.fr").unlink()
    with pytest.raises(CorpusError):
        ValidationBleu(config, layout, pipeline=make_pipeline(), length_ratio=1.0)
