"""The order of a project's stages, with training that only pretends to work."""

import pytest

from pipelines.artifacts.layout import CHECKPOINTS, STAGES
from pipelines.artifacts.manifest import write_manifest
from pipelines.config import ModelConfig, TrainConfig
from pipelines.errors import BusyError, ConfigError, CorpusError, UsageError
from pipelines.project.lock import locked
from pipelines.project.runs import claim, run_in
from pipelines.project.stages import new_manifest
from pipelines.project.status import stage_statuses
from pipelines.run import Options, bring_up_to_date, train_distributed
from tests.small_corpus import make_project

MODEL = ModelConfig(layers=1, cells=4, embedding_size=4, tie_embeddings=False)
TRAIN = TrainConfig(max_steps=2, batch_size=4, threads=1, precision="fp32")


@pytest.fixture
def project(tmp_path):
    config, layout = make_project(tmp_path, min_count=1)
    return config.model_copy(update={"model": MODEL, "train": TRAIN}), layout


class FakeTraining:
    """Claims the folder and writes a manifest; fails where it is told to."""

    def __init__(self, error=None):
        self.error = error
        self.calls = 0

    def __call__(self, config, layout, *, progress):
        self.calls += 1
        claim(config, layout)
        (layout.train / CHECKPOINTS / f"step-{self.calls:08d}").mkdir()
        if self.error is not None:
            raise self.error
        manifest = new_manifest("train", config, layout, {})
        return write_manifest(layout.train, manifest)


def run(project, target="train", *, train=None, **options):
    config, layout = project
    train = train or FakeTraining()
    return bring_up_to_date(config, layout, target, Options(**options), train=train)


def with_rate(project, rate=0.5):
    config, layout = project
    train = config.train.model_copy(update={"learning_rate": rate})
    return config.model_copy(update={"train": train}), layout


def test_missing_stages_run_in_order_and_only_once(project, caplog):
    caplog.set_level("INFO")
    assert run(project) == ["preprocess", "binarize", "train"]
    assert "preprocess: missing, running it first" in caplog.text
    assert "train: missing, running it\n" in caplog.text
    assert run(project) == []


def test_fresh_stages_need_neither_lock_nor_writing(project):
    run(project)
    with locked(project[1]):
        assert run(project) == []
        with pytest.raises(BusyError):
            run(project, force=True)


def test_the_cost_is_logged_before_training(project, caplog):
    caplog.set_level("INFO")
    run(project)
    cost, done = (caplog.text.index(x) for x in ("train: 2 updates", "train: done"))
    assert cost < done


def test_force_runs_the_target_alone_again(project, caplog):
    caplog.set_level("INFO")
    run(project, "binarize")
    assert run(project, "binarize", force=True) == ["binarize"]
    assert "binarize: forced, running it" in caplog.text


def test_forced_training_keeps_the_earlier_one(project):
    run(project)
    _, layout = project
    key = run_in(layout.train)
    assert run(project, force=True) == ["train"]
    assert run_in(layout.train_kept(key)) == run_in(layout.train) == key


def test_a_stage_after_training_does_not_force_it(project):
    run(project)
    training = FakeTraining()
    with pytest.raises(ConfigError, match="with other settings"):
        run(with_rate(project), "translate", force=True, train=training)
    assert training.calls == 0


def test_another_training_is_refused_before_any_stage_runs(project):
    run(project)
    config, layout = with_rate(project)
    settings = config.preprocess.model_copy(update={"lowercase": True})
    changed = config.model_copy(update={"preprocess": settings})
    before = (layout.preprocess / "manifest.json").read_bytes()
    with pytest.raises(ConfigError, match=r"train\.learning_rate"):
        run((changed, layout))
    assert (layout.preprocess / "manifest.json").read_bytes() == before


def test_a_fork_without_checkpoints_is_refused_before_any_stage_runs(project):
    with pytest.raises(UsageError, match="--fork"):
        run(project, fork=True)
    assert not project[1].preprocess.exists()


def test_without_a_test_split_translation_is_an_error(project):
    config, layout = project
    data = config.data.model_copy(update={"test": ()})
    with pytest.raises(ConfigError, match="translate needs a test split"):
        run((config.model_copy(update={"data": data}), layout), "translate")


def test_a_missing_text_stops_nothing_that_is_up_to_date(project, caplog):
    run(project)
    _, layout = project
    (layout.root / "train.en").unlink()
    (layout.preprocess / "manifest.json").unlink()
    assert run(project) == []
    assert "train.en not found: only settings are compared" in caplog.text
    with pytest.raises(CorpusError, match=r"train\.en not found"):
        run(project, force=True)


def test_a_write_that_fails_names_the_folder_of_the_stage(project):
    training = FakeTraining(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left") as caught:
        run(project, train=training)
    assert caught.value.filename == str(project[1].train)


@pytest.mark.parametrize("keep", [True, False])
def test_a_translation_with_other_settings_is_kept_on_request(project, caplog, keep):
    config, layout = project
    bring_up_to_date(config, layout, "score", Options())
    search = config.translate.model_copy(update={"beam": 2})
    changed = config.model_copy(update={"translate": search})
    done = bring_up_to_date(changed, layout, "score", Options(keep_translation=keep))
    assert done == ([] if keep else ["translate", "score"])
    assert ("made with other settings" in caplog.text) == keep
    assert "translate.beam: 12 -> 2" in caplog.text or not keep


def test_a_single_process_trains_together_with_itself(project):
    config, layout = project
    assert train_distributed(config, layout, Options()) == list(STAGES[:3])
    assert train_distributed(config, layout, Options()) == []
    states = [status.state.value for status in stage_statuses(config, layout)]
    assert states[:3] == ["fresh"] * 3
