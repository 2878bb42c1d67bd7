"""MiniStack, with what it does otherwise than AWS put right, and the public port of `make run`."""
