"""The cost of a training before it starts; reads and computes, and writes nothing."""
