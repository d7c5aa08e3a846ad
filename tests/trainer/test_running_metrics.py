from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.data.batch import make_batch
from pipelines.distributed.process_group import DistributedContext
from pipelines.errors import DivergenceError
from pipelines.trainer.running_metrics import RunningMetrics
from tests.trainer.tiny import as_loaded


def loaded(pair_ids):
    batch = make_batch([([5, 6, 2], [7, 2])] * len(pair_ids))
    return as_loaded(replace(batch, pair_ids=np.array(pair_ids)))


def metrics_of(*updates):
    """Running metrics of updates with these losses and gradient norms."""
    metrics = RunningMetrics(DistributedContext(), clip_norm=5.0)
    for index, (nll, norm) in enumerate(updates):
        batch = loaded([10 * index, 10 * index + 1])
        metrics.update(batch, torch.tensor(nll), torch.tensor(norm), waited_s=0.0)
    return metrics


def test_metrics_are_means_over_all_updates():
    means = metrics_of((8.0, 3.0), (4.0, 9.0)).compute(step=2)
    assert means["loss_nats_per_token"] == pytest.approx(12 / 8)
    assert means["gradient_norm"] == pytest.approx(6.0)
    assert means["clipped_share"] == 0.5
    assert means["padding_share"] == 0.0
    assert means["words_per_s"] > 0


def test_a_reset_forgets_all_updates():
    metrics = metrics_of((float("nan"), 3.0))
    metrics.reset()
    assert len(metrics) == 0
    metrics.update(loaded([1]), torch.tensor(2.0), torch.tensor(1.0), waited_s=0.0)
    assert metrics.compute(step=2)["loss_nats_per_token"] == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [(float("nan"), 1.0), (1.0, float("inf"))])
def test_a_number_that_is_not_finite_names_the_step_and_its_pairs(bad):
    metrics = metrics_of((8.0, 3.0), bad, (float("nan"), float("nan")))
    with pytest.raises(DivergenceError, match=r"step 8: .* pairs 11, 12") as caught:
        metrics.compute(step=9)
    assert caught.value.pair_ids == (10, 11)
    assert "learning_rate" in caught.value.hint
