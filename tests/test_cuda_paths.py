"""What runs on a GPU, without one: devices, waits and dtypes, on a fake of it."""

import pytest
import torch

from pipelines.data.batch import make_batch
from pipelines.data.dataset import ParallelDataset
from pipelines.model import loss as loss_module
from pipelines.model.engine import lstm_autograd
from pipelines.model.engine.library_lstm import cudnn_dtype
from pipelines.progress import SILENT
from pipelines.search.ensemble import Ensemble
from pipelines.search.scorer import Scorer
from pipelines.trainer.learner import Learner
from pipelines.trainer.validation import validate
from pipelines.trainer.world import World
from tests.device_cases import (
    CASES,
    CPU,
    EVEN,
    LINES,
    RAGGED,
    VOCAB_SIZE,
    assert_near,
    given_translations,
    learned,
    make_learner,
    make_model,
    make_translator,
    outputs,
    planned,
    trained,
    trained_state,
    weights_of,
    with_precision,
    without_dropout,
)
from tests.fake_cuda import GPU, fake_cuda, host
from tests.trainer.tiny import write_data

every_case = pytest.mark.parametrize("name", CASES)
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])
every_shape = pytest.mark.parametrize("pairs", [EVEN, RAGGED], ids=["even", "ragged"])


@pytest.fixture
def gpu():
    cudnn_dtype.cache_clear()
    with fake_cuda() as found:
        yield found
    cudnn_dtype.cache_clear()


@pytest.fixture(params=["whole", "in pieces"])
def chunks(request, monkeypatch):
    """The softmax takes all rows at once, or two by two, each row for itself."""
    if request.param == "in pieces":
        monkeypatch.setattr(loss_module, "GPU_CHUNK_LOGITS", 2 * VOCAB_SIZE)
        monkeypatch.setattr(loss_module, "GPU_BLOCK_LOGITS", VOCAB_SIZE)


def one_update(case, device, precision, pairs):
    learner = make_learner(case, device, precision=precision)
    before = weights_of(learner)
    nll, norm = learner.learn(planned(make_batch(pairs), device), step=0, rate=1e-2)
    found = learned(learner, nll, norm, before)
    return {key: host(value) for key, value in found.items()}


@every_shape
@every_precision
@every_case
def test_an_update_changes_what_it_changes_on_a_cpu(
    gpu, chunks, name, precision, pairs
):
    case = without_dropout(CASES[name])
    found = one_update(case, GPU, precision, pairs)
    assert_near(found, one_update(case, CPU, precision, pairs), precision=precision)


@every_precision
@every_case
def test_the_host_never_waits_in_an_update(gpu, name, precision):
    learner = make_learner(CASES[name], GPU, precision=precision)
    batches = [planned(make_batch(pairs), GPU) for pairs in (EVEN, RAGGED, EVEN)]
    cudnn_dtype(learner.matmul.dtype, GPU)
    with gpu.forbid_syncs():
        for step, batch in enumerate(batches):
            nll, norm = learner.learn(batch, step=step, rate=1e-2)
    assert host(nll).isfinite()
    assert host(norm).isfinite()


@every_precision
@every_case
def test_cudnn_runs_each_layer_without_peepholes_in_the_precision(gpu, name, precision):
    case = CASES[name]
    learner = make_learner(case, GPU, precision=precision)
    batch = make_batch(RAGGED)
    cudnn_dtype(learner.matmul.dtype, GPU)
    gpu.lstm_calls.clear()
    learner.learn(planned(batch, GPU), step=0, rate=1e-2)
    if case.model.peepholes:
        assert not gpu.lstm_calls
        return
    expected = {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert all(call.dtypes == expected for call in gpu.lstm_calls)
    # oneDNN's LSTM would be given padding.
    real = {len(batch.src.places_N), batch.num_tgt_tokens}
    assert {call.num_rows for call in gpu.lstm_calls} == real
    separate = case.model.layers if case.model.dropout else 1
    assert len(gpu.lstm_calls) == 2 * separate


@every_precision
@every_case
def test_a_validation_waits_once_and_makes_no_gradient(
    gpu, name, precision, tmp_path, monkeypatch
):
    write_data(tmp_path)
    dataset = ParallelDataset.open(tmp_path / "binarize", "valid")
    case = CASES[name]
    config = with_precision(case, precision).model_copy(update={"batch_size": 3})
    model = make_model(case, GPU, vocab_size=9).train()
    saves = []
    start = lstm_autograd._Steps.__init__

    def watched(self, *arguments, **options):
        saves.append(options["saves"])
        start(self, *arguments, **options)

    monkeypatch.setattr(lstm_autograd._Steps, "__init__", watched)
    monkeypatch.delattr(loss_module._Softmax, "allocate_gradients")
    cudnn_dtype(torch.bfloat16, GPU)
    before = gpu.num_graph_nodes
    with gpu.record_syncs() as syncs:
        found = validate(model, dataset, config, world=World(), progress=SILENT)
    assert len(syncs) == 1, syncs
    assert gpu.num_graph_nodes == before
    assert not any(saves)
    assert all(parameter.grad is None for parameter in model.parameters())
    model = make_model(case, CPU, vocab_size=9)
    wanted = validate(model, dataset, config, world=World(), progress=SILENT)
    tolerance = {"fp32": 1e-5, "bf16": 2e-2}[precision]
    assert found.perplexity == pytest.approx(wanted.perplexity, rel=tolerance)


def counted(monkeypatch, name):
    """Count the calls of a method of the ensemble: the steps of a search."""
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
@every_precision
@every_case
def test_a_search_on_a_gpu_finds_what_it_finds_on_a_cpu(
    gpu, name, precision, beam, num_models
):
    options = {"beam": beam, "num_models": num_models}
    translator = make_translator(CASES[name], GPU, precision=precision, **options)
    found = translator.translate(LINES)
    if precision == "fp32":  # elsewhere rounding may choose among near equals
        wanted = make_translator(CASES[name], CPU, precision=precision, **options)
        assert outputs(found) == outputs(wanted.translate(LINES))
    assert all(each.candidates for each in found)


@every_search
@every_case
def test_a_search_waits_once_a_step(gpu, name, beam, num_models, monkeypatch):
    options = {"beam": beam, "num_models": num_models}
    translator = make_translator(CASES[name], GPU, precision="bf16", **options)
    steps = counted(monkeypatch, "__call__")
    with gpu.record_syncs() as syncs:
        translator.translate(LINES)
    assert len(steps) > 1
    assert len(syncs) == len(steps), summary(syncs)


@every_precision
@every_case
def test_forced_decoding_on_a_gpu_scores_as_on_a_cpu(gpu, name, precision):
    options = {"beam": 1, "precision": precision}
    members = make_translator(CASES[name], GPU, **options).members
    expected = make_translator(CASES[name], CPU, **options).members
    found, wanted = (
        Scorer(each).score(given_translations()) for each in (members, expected)
    )
    tolerance = {"fp32": 1e-4, "bf16": 5e-2}[precision]
    for own, other in zip(found, wanted, strict=True):
        for ours, theirs in zip(own, other, strict=True):
            assert ours == pytest.approx(theirs, abs=tolerance)


@every_case
def test_forced_decoding_waits_once_a_depth(gpu, name, monkeypatch):
    members = make_translator(CASES[name], GPU, beam=1, precision="bf16").members
    depths = counted(monkeypatch, "log_probs")
    with gpu.record_syncs() as syncs:
        Scorer(members).score(given_translations())
    assert len(depths) == 6
    assert len(syncs) == len(depths), summary(syncs)


def summary(syncs: list[str]) -> str:
    """Each kind of wait, with how often it came."""
    kinds = sorted(set(syncs), key=syncs.index)
    return "\n".join(["", *(f"{syncs.count(kind)} x {kind}" for kind in kinds)])


def test_tf32_is_what_it_was_after_an_update(gpu):
    learner = make_learner(CASES["2x512"], GPU, precision="tf32")
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.rnn
    before = [each.fp32_precision for each in switches]
    inside: list[list[str]] = []
    learner.model.register_forward_hook(
        lambda *_: inside.append([each.fp32_precision for each in switches])
    )
    learner.learn(planned(make_batch(EVEN), GPU), step=0, rate=0.1)
    assert inside == [["tf32", "tf32"]]
    assert [each.fp32_precision for each in switches] == before


@pytest.mark.parametrize("devices", [(CPU, GPU), (GPU, CPU), (GPU, GPU)], ids=str)
def test_a_checkpoint_of_one_device_is_resumed_on_the_other(gpu, devices, tmp_path):
    write_data(tmp_path)
    for device, steps in zip(devices, (3, 6), strict=True):
        resumed = trained(tmp_path, "resumed", device, steps=steps)
    whole = trained(tmp_path, "whole", CPU, steps=6)
    assert resumed.model.encoder.embedding.weight.device == devices[1]
    assert_near(trained_state(resumed), trained_state(whole), precision="fp32")


def test_training_waits_for_reports_and_validations_only(gpu, tmp_path, monkeypatch):
    write_data(tmp_path)
    update = Learner.learn

    def checked(self, *arguments, **options):
        with gpu.forbid_syncs():
            return update(self, *arguments, **options)

    cudnn_dtype(torch.bfloat16, GPU)
    monkeypatch.setattr(Learner, "learn", checked)
    with gpu.record_syncs() as syncs:
        trained(tmp_path, "run", GPU, steps=12)
    places = {sync.rpartition(" at ")[2].partition(":")[0] for sync in syncs}
    assert places <= {
        "pipelines/trainer/validation.py",
        "pipelines/trainer/window.py",
        "pipelines/artifacts/checkpoint.py",
        "tests/trainer/tiny.py",
    }
