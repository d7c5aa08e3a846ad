import pytest

from pipelines.project.run_identity import LIMITS, MINOR_LIMITS, free_settings, run_key

SETTINGS = {"train.schedule": "halving", "train.max_epochs": 3, "train.seed": 1}
INPUTS = {"binarize": "b"}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"train.max_epochs": 9}, True),
        ({"train.patience": 9}, True),
        ({"train.seed": 9}, False),
        ({"train.schedule": "cosine"}, False),
    ],
)
def test_limits_may_change_within_a_run(changed, same):
    key = run_key({**SETTINGS, **changed}, INPUTS)
    assert (key == run_key(SETTINGS, INPUTS)) == same


def test_with_a_cosine_schedule_the_length_belongs_to_the_run():
    cosine = {**SETTINGS, "train.schedule": "cosine"}
    longer = {**cosine, "train.max_epochs": 4}
    assert run_key(cosine, INPUTS) != run_key(longer, INPUTS)
    assert free_settings(cosine) == MINOR_LIMITS < free_settings(SETTINGS) == LIMITS


def test_other_inputs_make_another_run():
    assert run_key(SETTINGS, {"binarize": "c"}) != run_key(SETTINGS, INPUTS)
