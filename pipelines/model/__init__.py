"""The deep LSTM encoder and decoder of the paper."""
