"""N-best lists and rescorers for tests."""

from pipelines.artifacts.nbest import NbestEntry, write_nbest
from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.config import Config
from pipelines.search.forced_decoding import ForcedDecoder
from pipelines.text import TextPipeline, TextSettings
from pipelines.tools.rescorer import Rescorer, RescoreSettings
from tests.search.tiny import make_members


def make_pipeline(*words, **settings):
    config = Config.model_validate({"preprocess": {"tokenizer": "none", **settings}})
    vocabulary = Vocabulary((*SPECIALS, *(words or "abcde")), (0,) * 8)
    return TextPipeline(TextSettings.from_config(config), vocabulary, vocabulary)


def make_rescorer(*seeds, pipeline=None, weight=0.5, tokenize=False, **options):
    loaded = make_members(
        *(seeds or (1,)), pipeline=pipeline or make_pipeline(), **options
    )
    settings = RescoreSettings(weight=weight, tokenize=tokenize)
    return Rescorer(ForcedDecoder(loaded), loaded.pipeline, settings)


class Echo:
    """A model to which all tokens are alike; keeps what it was asked for."""

    def __init__(self, value=-1.0):
        self.value = value
        self.seen = []

    def score(self, sentences):
        self.seen += sentences
        return [[[self.value] * len(ids) for ids in each.targets] for each in sentences]


def make_echo(pipeline=None, *, value=-1.0, **settings):
    scorer = Echo(value)
    rescorer = Rescorer(
        scorer, pipeline or make_pipeline(), RescoreSettings(**settings)
    )
    return rescorer, scorer


def entry(number, text, score=-1.0, **features):
    features = {name: (value,) for name, value in features.items()}
    return NbestEntry(number, tuple(text.split()), features, score)


def write_list(path, *found):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_nbest(file, found)
    return path
