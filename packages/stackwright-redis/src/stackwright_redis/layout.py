r"""What lies on the server, and how commands are sent.

Views whose keys are the same share a hash while their rows are small, ``PREFIX:#rows NUMBER``: its fields are the keys,
the value of a field what all those views say of the key (:mod:`stackwright_redis.shared_rows`). Most of what the server
does for a read it does for each value, whatever its size. A view of large rows has a hash of its own, ``PREFIX:VIEW``,
as every view had in the layout before; a value there is one byte with the length of the order token, the token, and
the payload.

The catalogue, ``PREFIX:#views``, says which views share which hash (:mod:`stackwright_redis.places`). A view that does
not stand there has a hash of its own, or no rows. Every read asks the catalogue too, last, in the same round trip, and
begins anew where a view lies elsewhere than was thought; every write is refused there.

A hash for many rows, and not a Redis key a row, because it can be dropped by one ``UNLINK``, which frees it in the
background, be counted by ``HLEN``, and be scanned by ``HSCAN`` without passing by everything else on the server; a row
takes as much memory either way.
"""

from __future__ import annotations

from collections.abc import Sequence


def command(*parts: bytes) -> bytes:
    """Return a command as it is sent; redis-py's own packing takes longer than the server needs to answer."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def arguments(parts: Sequence[bytes]) -> bytes:
    """Return the last arguments of a command as they are sent, for :func:`command_ending`; there is at least one."""
    lengths = set(map(len, parts))
    if len(lengths) > 1:
        return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
    start = b"$%d\r\n" % lengths.pop()
    return b"".join((start, (b"\r\n" + start).join(parts), b"\r\n"))


def command_ending(*parts: bytes, rest: bytes, count: int) -> bytes:
    """Return a command that begins with parts and ends with ``count`` packed arguments."""
    begin = b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
    return b"*%d\r\n%b%b" % (len(parts) + count, begin, rest)
