"""Bytes in, MP3 and measurements out: this package knows nothing of AWS, HTTP or rows."""
