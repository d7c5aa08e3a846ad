"""Perplexity: how many words, all alike, a model hesitates between."""

import math

_LARGEST = 700.0
"""Of an exponent whose power is still a float."""


def perplexity(log_prob: float, num_tokens: int) -> float:
    """Exp of the mean negative log-likelihood of a token; 1 where there are none.

    Args:
        log_prob: Sum of natural log-probabilities.
        num_tokens: EOS included.
    """
    return math.exp(min(_LARGEST, -log_prob / max(1, num_tokens)))
