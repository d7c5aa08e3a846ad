"""The terminal side of s2s: parse, call, show."""
