"""Tests of the estimate."""
