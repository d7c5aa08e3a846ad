"""The engine: matmuls and LSTM layers, and the choice of processor and precision."""
