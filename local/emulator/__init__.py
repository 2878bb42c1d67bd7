"""MiniStack, patched where it differs from AWS, and the public port of `make run`."""
