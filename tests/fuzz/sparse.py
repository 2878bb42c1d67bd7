"""Files of any size out of few bytes, read under supervision."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate

LONGEST_READ = 64 * 1024  # bytes that `wav.inspect` may ask for at once
MOST_READS = 256

Piece = bytes | int


class SparseFile:
    """Pieces one after another: bytes, or a number of `fill`. A file object that allows no read beyond its ends.

    reads, bytes_read: what was read so far.
    """

    def __init__(self, *pieces: Piece, fill: bytes = b"\0") -> None:
        self._pieces = pieces
        self._fill = fill
        self._starts = [0, *accumulate(piece if isinstance(piece, int) else len(piece) for piece in pieces)]
        self.size = self._starts[-1]
        self.reads = 0
        self.bytes_read = 0
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self.size)[whence]
        return self._position

    def read(self, length: int) -> bytes:
        assert 0 <= self._position < self.size, f"a read at {self._position} of a file of {self.size} bytes"
        assert 0 < length <= LONGEST_READ, f"a read of {length} bytes"
        found = self.peek(self._position, length)
        self._position += len(found)
        self.reads += 1
        self.bytes_read += len(found)
        return found

    def peek(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, unsupervised."""
        end = min(self.size, offset + length)
        found = []
        index = bisect_right(self._starts, offset) - 1
        while offset < end:
            piece, start = self._pieces[index], self._starts[index]
            stop = min(end, self._starts[index + 1])
            found.append(
                self._fill * (stop - offset) if isinstance(piece, int) else piece[offset - start : stop - start]
            )
            offset, index = stop, index + 1
        return b"".join(found)

    def opened(self) -> io.BufferedReader:
        """A file object over it, for other readers."""
        return io.BufferedReader(_Opened(self))

    def __repr__(self) -> str:
        return f"SparseFile({', '.join(map(repr, self._pieces))})"


class _Opened(io.RawIOBase):
    def __init__(self, file: SparseFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self._file.size)[whence])
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = self._file.peek(self._position, len(buffer))
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)
