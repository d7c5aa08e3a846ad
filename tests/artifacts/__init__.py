"""Tests of pipelines.artifacts."""
