"""The terminal layer of s2s: parse a command line, call the work, show the result."""
