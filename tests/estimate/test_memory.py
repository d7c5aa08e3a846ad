import numpy as np
import pytest

from pipelines.config import Config, ModelConfig
from pipelines.data.batch import make_batch
from pipelines.estimate.memory import known_memory
from pipelines.model.seq2seq import Seq2Seq
from tests.estimate.tiny import MODELS, TRAINS, make_data, make_timer


def bytes_of(tensor):
    if tensor.is_sparse:
        return bytes_of(tensor._indices()) + bytes_of(tensor._values())
    return tensor.numel() * tensor.element_size()


@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("model", MODELS)
def test_resident_memory_and_gradients_are_exact_to_the_byte(model, train, monkeypatch):
    config, timer = make_timer(model, train)
    train_step, batch = timer.train_step, make_data(32).load_batch(np.arange(32))
    gradients: list[int] = []

    def step(self, *args, **kwargs):
        gradients.extend(bytes_of(p.grad) for p in train_step.model.parameters())

    optimizer = type(train_step.optimizer)
    monkeypatch.setattr(optimizer, "step", step)
    parameters = train_step.model.count_parameters()
    memory = known_memory(config, parameters, batch.batch, free_bytes=None)
    timer.time(batch)
    states = train_step.optimizer.state.values()
    moments = [s[name] for s in states for name in ("exp_avg", "exp_avg_sq")]
    average = train_step.average.tensors if train_step.average else []
    assert memory.weights_bytes == sum(map(bytes_of, train_step.model.parameters()))
    assert memory.gradients_bytes == sum(gradients)
    assert memory.optimizer_bytes == sum(map(bytes_of, moments))
    assert memory.average_bytes == sum(map(bytes_of, average))


@pytest.mark.parametrize(
    ("free_bytes", "fits"), [(None, True), (10**9, True), (1000, False)]
)
def test_memory_fits_unless_less_is_known_to_be_free(free_bytes, fits):
    config = Config(model=ModelConfig(layers=1, cells=8, embedding_size=8))
    parameters = Seq2Seq(config.model, 9, 9).count_parameters()
    batch = make_batch([([4, 5, 2], [3, 2])])
    memory = known_memory(config, parameters, batch, free_bytes=free_bytes)
    assert memory.fits == fits
    assert memory.batch_words == 5
    assert memory.total_bytes == memory.resident_bytes + memory.gradients_bytes
