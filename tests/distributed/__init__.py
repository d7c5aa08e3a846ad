"""Tests of `pipelines.distributed`."""
