"""What computes the model: the only code that knows a processor."""
