import math

import pytest

from pipelines.metrics.perplexity import perplexity


def test_uniform_tokens_have_the_perplexity_of_their_number():
    assert perplexity(3 * math.log(1 / 80), 3) == pytest.approx(80)


def test_no_tokens_have_perplexity_one():
    assert perplexity(0.0, 0) == 1


def test_the_perplexity_of_impossible_tokens_is_finite():
    assert perplexity(-1e9, 1) == perplexity(-math.inf, 1) == math.exp(700)
