"""BLEU of the validation text during training."""

from pipelines.artifacts.corpora import decoded_lines_of
from pipelines.artifacts.layout import Layout
from pipelines.config import Config, TranslateConfig
from pipelines.metrics.bleu import bleu_detokenised
from pipelines.model.engine.packed_linear import choose_linear
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import Seq2Seq
from pipelines.search.ensemble import Ensemble
from pipelines.search.loading import LoadedEnsemble
from pipelines.search.translator import Translator
from pipelines.text.pipeline import TextPipeline


class ValidationBleu:
    """Translates the validation text, as given by the user, greedily and scores it.

    Case is ignored where the model knows none. `score.lowercase` is ignored, because it
    is not in the fingerprint of training and BLEU may choose the best checkpoint.

    Args:
        config: The project's settings.
        layout: Its folders.
        pipeline: Text pipeline of the model.
        length_ratio: As `ParallelDataset.length_ratio`.

    Raises:
        CorpusError: A validation file cannot be read.
    """

    def __init__(
        self,
        config: Config,
        layout: Layout,
        *,
        pipeline: TextPipeline,
        length_ratio: float,
    ) -> None:
        self._sources, self._references = validation_text(config, layout)
        self._search = TranslateConfig(beam=1, batch_size=config.translate.batch_size)
        self._precision = config.train.precision
        self._pipeline, self._length_ratio = pipeline, length_ratio

    def __call__(self, model: Seq2Seq) -> float:
        """Score the model's translation."""
        device = next(model.parameters()).device
        linears = choose_linear(self._precision, device)
        ensemble = Ensemble([InferenceSeq2Seq(model, linears, device=device)])
        loaded = LoadedEnsemble(ensemble, self._pipeline, device, self._length_ratio)
        translations = Translator(loaded, self._search).translate(self._sources)
        return bleu_detokenised(
            [translation.text for translation in translations],
            self._references,
            lowercase=self._pipeline.lowercase,
        ).value


def validation_text(config: Config, layout: Layout) -> list[list[str]]:
    """Read the lines of all validation corpora: sources and targets.

    Raises:
        CorpusError: A file cannot be read.
    """
    sides = zip(*config.data.splits()["valid"], strict=True)
    return [list(decoded_lines_of(layout.root, names)) for names in sides]
