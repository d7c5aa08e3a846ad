"""Distributed data-parallel training: launcher, process group, gradient all-reduce."""
