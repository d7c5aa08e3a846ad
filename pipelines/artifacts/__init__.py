"""The contract: every format on disk, its writer beside its reader."""
