"""Tests of `pipelines.tools`."""
