"""Host syncs, each with its place, which only the fake GPU records."""

import pytest
import torch

from pipelines.config import TranslateConfig
from pipelines.data.dataset import ParallelDataset
from pipelines.distributed.process_group import DistributedContext
from pipelines.model import loss as loss_module
from pipelines.model.engine import lstm_steps
from pipelines.model.engine.library_lstm import cudnn_dtype
from pipelines.progress import SILENT
from pipelines.search.ensemble import Ensemble
from pipelines.search.forced_decoding import ForcedDecoder
from pipelines.search.translator import Translator
from pipelines.trainer.train_step import TrainStep
from pipelines.trainer.validation import validate
from tests.gpu.device_cases import (
    CASES,
    CPU,
    LINES,
    RAGGED,
    VOCAB_SIZE,
    assert_near,
    every_case,
    given_translations,
    make_model,
    make_train_step,
    make_translator,
    one_update,
    trained,
    with_precision,
    without_dropout,
)
from tests.gpu.fake_cuda import GPU, fake_cuda
from tests.trainer.tiny import write_data

every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])


@pytest.fixture
def gpu():
    cudnn_dtype.cache_clear()
    with fake_cuda() as fake:
        yield fake
    cudnn_dtype.cache_clear()


@every_precision
@every_case
def test_the_chunked_softmax_equals_the_cpus(gpu, name, precision, monkeypatch):
    """In chunks of two rows and blocks of one."""
    monkeypatch.setattr(loss_module, "GPU_CHUNK_LOGITS", 2 * VOCAB_SIZE)
    monkeypatch.setattr(loss_module, "GPU_BLOCK_LOGITS", VOCAB_SIZE)
    case = without_dropout(CASES[name])
    actual = one_update(case, GPU, precision, RAGGED)
    assert_near(actual, one_update(case, CPU, precision, RAGGED), precision=precision)


@every_precision
@every_case
def test_a_validation_has_one_host_sync_and_computes_no_gradient(
    gpu, name, precision, tmp_path, monkeypatch
):
    write_data(tmp_path)
    dataset = ParallelDataset.open(tmp_path / "binarize", "valid")
    case = CASES[name]
    config = with_precision(case, precision).model_copy(update={"batch_size": 3})
    model = make_model(case, GPU, vocab_size=9).train()
    monkeypatch.delattr(lstm_steps.SavedFactors, "allocate")
    monkeypatch.delattr(loss_module._Softmax, "allocate_gradients")
    cudnn_dtype(torch.bfloat16, GPU)
    before = gpu.num_graph_nodes
    with gpu.record_syncs() as syncs:
        actual = validate(
            model, dataset, config, distributed=DistributedContext(), progress=SILENT
        )
    assert len(syncs) == 1, syncs
    assert gpu.num_graph_nodes == before
    assert all(parameter.grad is None for parameter in model.parameters())
    model = make_model(case, CPU, vocab_size=9)
    expected = validate(
        model, dataset, config, distributed=DistributedContext(), progress=SILENT
    )
    tolerance = {"fp32": 1e-5, "bf16": 2e-2}[precision]
    assert actual.perplexity == pytest.approx(expected.perplexity, rel=tolerance)


def record_calls(monkeypatch, name):
    """Record the calls of a method of the ensemble: the steps of a search."""
    calls = []
    method = getattr(Ensemble, name)

    def count(self, *arguments, **options):
        calls.append(name)
        return method(self, *arguments, **options)

    monkeypatch.setattr(Ensemble, name, count)
    return calls


every_search = pytest.mark.parametrize(
    ("beam", "num_models"), [(1, 1), (12, 1), (3, 2)], ids=str
)


@every_search
@every_case
def test_beam_search_has_one_host_sync_a_step(gpu, name, beam, num_models, monkeypatch):
    options = {"beam": beam, "num_models": num_models}
    translator = make_translator(CASES[name], GPU, precision="bf16", **options)
    steps = record_calls(monkeypatch, "__call__")
    with gpu.record_syncs() as syncs:
        translator.translate(LINES)
    assert len(steps) > 1
    assert len(syncs) == len(steps), summary(syncs)


@pytest.mark.parametrize("top_k", [0, 3])
@pytest.mark.parametrize("num_models", [1, 2])
@every_case
def test_sampling_has_one_host_sync_a_step(gpu, name, num_models, top_k, monkeypatch):
    options = {"beam": 1, "precision": "fp32", "num_models": num_models}
    config = TranslateConfig(sample=True, nbest=3, top_k=top_k)

    def sampler(device):
        return Translator(
            make_translator(CASES[name], device, **options).loaded, config
        )

    on_gpu = sampler(GPU)
    steps = record_calls(monkeypatch, "draw")
    with gpu.record_syncs() as syncs:
        actual = on_gpu.translate(LINES)
    assert len(steps) > 1
    assert len(syncs) == len(steps), summary(syncs)
    wanted = sampler(CPU).translate(LINES)
    assert [t.outputs[0].tokens for t in actual if t.outputs] == [
        t.outputs[0].tokens for t in wanted if t.outputs
    ]


@every_case
def test_forced_decoding_has_one_host_sync_a_depth(gpu, name, monkeypatch):
    loaded = make_translator(CASES[name], GPU, beam=1, precision="bf16").loaded
    depths = record_calls(monkeypatch, "log_probs")
    with gpu.record_syncs() as syncs:
        ForcedDecoder(loaded).score(given_translations())
    assert len(depths) == 6
    assert len(syncs) == len(depths), summary(syncs)


def summary(syncs: list[str]) -> str:
    """Each kind of host sync, with how often it came."""
    kinds = sorted(set(syncs), key=syncs.index)
    return "\n".join(["", *(f"{syncs.count(kind)} x {kind}" for kind in kinds)])


def test_training_syncs_for_reports_and_validations_only(gpu, tmp_path, monkeypatch):
    write_data(tmp_path)
    original = TrainStep.__call__

    def checked(self, *arguments, **options):
        with gpu.forbid_syncs():
            return original(self, *arguments, **options)

    cudnn_dtype(torch.bfloat16, GPU)
    monkeypatch.setattr(TrainStep, "__call__", checked)
    with gpu.record_syncs() as syncs:
        trained(tmp_path, "run", GPU, steps=12)
    places = {sync.rpartition(" at ")[2].partition(":")[0] for sync in syncs}
    assert places <= {
        "pipelines/trainer/validation.py",
        "pipelines/trainer/running_metrics.py",
        "pipelines/artifacts/checkpoint.py",
        "tests/trainer/tiny.py",
    }


@every_case
def test_a_cudnn_without_bf16_runs_in_float32_and_all_else_in_bf16(gpu, name):
    def not_supported(*arguments):
        raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED")

    gpu.special[torch._cudnn_rnn] = not_supported
    case = without_dropout(CASES[name])
    actual = one_update(case, GPU, "bf16", RAGGED)
    assert all(call.dtypes == {torch.float32} for call in gpu.lstm_calls)
    lstm = make_train_step(case, GPU, precision="bf16").arithmetic["lstm"]
    assert lstm == ("own" if case.model.peepholes else "cudnn in float32")
    assert_near(actual, one_update(case, CPU, "bf16", RAGGED), precision="bf16")
