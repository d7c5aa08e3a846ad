"""Tests that need a GPU; each also runs on the fake one."""
