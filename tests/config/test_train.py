import pytest
from pydantic import ValidationError

from pipelines.config import TrainConfig


def test_the_best_checkpoint_by_bleu_needs_bleu_at_validations():
    with pytest.raises(ValidationError, match="needs valid_bleu = true"):
        TrainConfig(best_by="bleu")
    assert TrainConfig(best_by="bleu", valid_bleu=True).best_by == "bleu"


def test_execution_settings_are_not_fingerprinted():
    changed = TrainConfig(device="cuda:1", threads=3, tensorboard=True)
    assert changed.fingerprinted() == TrainConfig().fingerprinted()
    assert TrainConfig(precision="fp32").fingerprinted()["precision"] == "fp32"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:11"])
def test_a_device_is_one_processor(device):
    assert TrainConfig(device=device).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:a", "CPU", ""])
def test_another_device_is_refused(device):
    with pytest.raises(ValidationError):
        TrainConfig(device=device)
