"""From a model to translations: search, ensembles and forced decoding."""
