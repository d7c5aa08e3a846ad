import pytest
import torch

from pipelines.artifacts.vocab import EOS, SPECIALS, Vocabulary
from pipelines.config import Config, ModelConfig, TranslateConfig
from pipelines.data.batch import lay_out
from pipelines.model.frozen import FrozenSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.search.ensemble import Ensemble
from pipelines.search.members import Members
from pipelines.search.translator import Translator
from pipelines.text.pipeline import TextPipeline, TextSettings

CPU = torch.device("cpu")
WORDS = ("a", "b", "c", "d", "e")
MODEL = ModelConfig(layers=2, cells=8, embedding_size=6)


def make_model(seed):
    model = Seq2Seq(MODEL, 8, 8)
    initialize(model, init_range=1.5, seed=seed)
    return model.eval()


@pytest.fixture
def pipeline():
    config = Config.model_validate({"preprocess": {"tokenizer": "none"}})
    vocabulary = Vocabulary((*SPECIALS, *WORDS), (0,) * 8)
    settings = TextSettings.from_config(config)
    return TextPipeline(settings, vocabulary, vocabulary)


def make_members(pipeline, *seeds, precision="fp32", **options):
    models = [
        FrozenSeq2Seq(make_model(seed), precision=precision, device=CPU)
        for seed in seeds
    ]
    return Members(Ensemble(models, **options), pipeline, CPU)


def make_translator(pipeline, *seeds, **settings):
    config = TranslateConfig(**{"beam": 3, **settings})
    members = make_members(pipeline, *seeds, precision=config.precision)
    return Translator(members, config)


LINES = ["a b c", "", "d", "e e e e e e", " ", "a b c", "zzz a"]


def test_every_line_gets_its_translation_in_order(pipeline):
    translator = make_translator(pipeline, 1)
    together = translator.translate(LINES)
    alone = [translator.translate([line])[0] for line in LINES]
    assert [t.text for t in together] == [t.text for t in alone]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one.candidates, other.candidates, strict=True):
            assert a == b


def test_blank_lines_never_reach_the_model(pipeline):
    found = make_translator(pipeline, 1).translate(LINES)
    blank = [not t.candidates for t in found]
    assert blank == [False, True, False, False, True, False, False]
    assert found[1].text == found[1].tokens == ""


def test_batch_size_changes_nothing(pipeline):
    texts = [
        [t.text for t in make_translator(pipeline, 1, batch_size=n).translate(LINES)]
        for n in (1, 2, 64)
    ]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("reverse", [True, False])
def test_a_long_source_is_cut_at_its_end_whatever_the_direction(pipeline, reverse):
    from dataclasses import replace

    settings = replace(pipeline.settings, reverse_source=reverse)
    own = TextPipeline(settings, pipeline.source_vocab, pipeline.target_vocab)
    translator = make_translator(own, 1, max_source_length=3)
    long, short = translator.translate(["a b c d e", "a b c"])
    assert long.truncated
    assert not short.truncated
    assert long.text == short.text


def test_scores_are_those_of_forced_decoding(pipeline):
    model = make_model(1)
    translator = make_translator(pipeline, 1, nbest=3, length_penalty=0.0)
    line = "a b c"
    for candidate in translator.translate([line])[0].candidates:
        ids = [*pipeline.target_vocab.ids(candidate.tokens), EOS]
        state = model.encode(lay_out([pipeline.source_ids(line)]))
        token, total = torch.tensor([EOS]), 0.0
        for word in ids:
            logits, state = model.step(token, state)
            total += logits.log_softmax(1)[0, word].item()
            token = torch.tensor([word])
        assert candidate.log_prob == pytest.approx(total, rel=1e-4)
        assert candidate.score == pytest.approx(candidate.log_prob)


def test_an_ensemble_of_one_model_twice_is_that_model(pipeline):
    one = make_translator(pipeline, 1).translate(LINES)
    two = make_translator(pipeline, 1, 1).translate(LINES)
    assert [t.text for t in one] == [t.text for t in two]


def test_running_out_of_memory_halves_the_batch(pipeline, monkeypatch, caplog):
    translator = make_translator(pipeline, 1)
    expected = [t.text for t in translator.translate(LINES)]
    search = Translator._search

    def tight(self, sources):
        if len(sources) > 2:
            raise torch.OutOfMemoryError
        return search(self, sources)

    monkeypatch.setattr(Translator, "_search", tight)
    assert [t.text for t in translator.translate(LINES)] == expected
    assert "halving" in caplog.text
