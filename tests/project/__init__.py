"""Tests of `pipelines.project`."""
