"""Corpus metrics of a translation, each with its signature.

They know lines of text, no models. sacreBLEU and rapidfuzz are imported when a metric
is computed.
"""
