"""How good a translation is: corpus metrics, each with its signature.

They know lines of text, no models and no files. sacreBLEU is imported when a metric is
computed, not before.
"""
