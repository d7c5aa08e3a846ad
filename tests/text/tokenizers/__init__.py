"""Tests of pipelines.text.tokenizers."""
