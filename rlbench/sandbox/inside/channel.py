"""Frames on a byte stream: four bytes of length, little endian, then that many bytes."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

READY = b"ready"  # the first frame of a program's process, sent once it is confined


class Closed(Exception):
    """The other end is gone."""


class Oversized(ValueError):
    """A frame is announced that is longer than allowed."""


class Channel(NamedTuple):
    """One end of the way between program and tests: numbers of open files, the same one twice for a socket."""

    reader: int
    writer: int

    def send(self, frame: bytes) -> None:
        """Write one frame.

        Raises:
            Closed: the other end is gone.
        """
        rest = memoryview(struct.pack("<I", len(frame)) + frame)
        while rest:
            try:
                rest = rest[os.write(self.writer, rest) :]
            except (BrokenPipeError, ConnectionResetError) as error:
                raise Closed from error

    def receive(self, longest: int) -> bytes:
        """Read one frame of at most `longest` bytes.

        Raises:
            Closed: the stream ended before the frame did.
            Oversized: the frame is longer.
        """
        (length,) = struct.unpack("<I", self._exactly(4))
        if length > longest:
            raise Oversized(f"a frame of {length} bytes; at most {longest} are allowed")
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = os.read(self.reader, min(count, 1 << 20))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
