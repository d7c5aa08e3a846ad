"""Tokenizers: one module for each kind.

A tokenizer turns a normalised line into tokens, and tokens into a line. A token is
never empty and contains neither an ASCII space nor a line end.
"""
