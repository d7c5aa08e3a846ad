import numpy as np
import pytest
import torch

from pipelines.data.batch import make_batch
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext
from pipelines.errors import DivergenceError
from pipelines.trainer.running_metrics import RunningMetrics


def planned(numbers):
    batch = make_batch([([5, 6, 2], [7, 2])] * len(numbers))
    return LoadedBatch(
        batch,
        weight=1.0,
        numbers=np.array(numbers),
        num_tgt_tokens=batch.num_tgt_tokens,
        num_words=batch.num_words,
        ends_epoch=False,
    )


def fill(*pairs):
    window = RunningMetrics(DistributedContext(), clip_norm=5.0)
    for index, (nll, norm) in enumerate(pairs):
        numbers = [10 * index, 10 * index + 1]
        window.add(planned(numbers), torch.tensor(nll), torch.tensor(norm), 0.0)
    return window


def test_figures_are_means_over_the_window():
    found = fill((8.0, 3.0), (4.0, 9.0)).figures(step=2)
    assert found["loss_nats_per_token"] == pytest.approx(12 / 8)
    assert found["gradient_norm"] == pytest.approx(6.0)
    assert found["clipped_share"] == 0.5
    assert found["padding_share"] == 0.0
    assert found["words_per_s"] > 0


@pytest.mark.parametrize("bad", [(float("nan"), 1.0), (1.0, float("inf"))])
def test_a_number_that_is_not_finite_names_the_step_and_its_pairs(bad):
    window = fill((8.0, 3.0), bad, (float("nan"), float("nan")))
    with pytest.raises(DivergenceError, match=r"step 8: .* pairs 11, 12") as caught:
        window.figures(step=9)
    assert caught.value.numbers == (10, 11)
    assert "learning_rate" in caught.value.hint
