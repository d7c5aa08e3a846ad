"""A project: its stages and which are up to date, whose `train/` is, its lock."""
