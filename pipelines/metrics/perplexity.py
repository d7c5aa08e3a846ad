"""Perplexity of tokens under a model."""

import math

_MAX_EXPONENT = 700.0
"""`math.exp` overflows a float soon above it."""


def perplexity(log_prob: float, num_tokens: int) -> float:
    """Exp of the mean negative log-likelihood of a token; 1 where there are none.

    Args:
        log_prob: Sum of natural log-probabilities.
        num_tokens: EOS included.
    """
    return math.exp(min(_MAX_EXPONENT, -log_prob / max(1, num_tokens)))
