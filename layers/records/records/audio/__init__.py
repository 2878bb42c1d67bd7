"""Bytes in, MP3 and measures out: this package knows no AWS, no HTTP and no row."""
