"""The work of s2s: stages on top, nouns beneath; it knows no terminal."""
