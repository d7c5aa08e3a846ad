"""The commands, one module each: parse options, call the work, show the result."""
