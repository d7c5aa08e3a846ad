"""What a training will take, before it starts: parameters, memory, updates, time, disk.

Reads and computes; writes nothing at all.
"""
