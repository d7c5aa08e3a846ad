"""What all tests share: a quiet, reproducible environment."""

import logging
import os

import pytest
import torch
from hypothesis import settings

# Machines differ: an example may take as long as it needs.
settings.register_profile("s2s", deadline=None)
settings.load_profile("s2s")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No settings from outside, no colours, one width of terminal."""
    for name in [n for n in os.environ if n.startswith("S2S_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(autouse=True)
def fresh_logging():
    """A test that ran a command leaves no handler behind."""
    yield
    logger = logging.getLogger("pipelines")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tiny tensors are slower on many threads."""
    torch.set_num_threads(1)
