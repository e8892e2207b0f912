r"""What lies on the server: one hash a view, its fields the keys of the rows.

The hash is named ``PREFIX:VIEW``. The value of a field is one byte with the length of the order token, the token, and
the payload.

A hash a view, and not a Redis key a row, because a view can then be dropped by one ``UNLINK``, which frees it in
the background, be counted by ``HLEN``, and be scanned by ``HSCAN`` without passing by everything else on the server; a
row takes as much memory either way. Rows of several views come in one round trip all the same: one ``HMGET`` a
view, sent together.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Final, NamedTuple


class Script(NamedTuple):
    """A Lua script, and the name under which the server knows it once it was loaded."""

    text: bytes
    sha: bytes

    @classmethod
    def of(cls, text: str) -> Script:
        """Return a script."""
        return cls(text.encode(), sha1(text.encode(), usedforsecurity=False).hexdigest().encode())


WRITE: Final = Script.of("""
-- KEYS[1]: a view. ARGV: key, value, key, value, ... Returns a digit for each: 1 where it was stored.
-- Tokens are compared byte by byte: Lua compares strings by the server's locale.
local byte = string.byte
local function newer(new, old)
  local length, stored = byte(new, 1), byte(old, 1)
  for place = 2, math.min(length, stored) + 1 do
    local one, other = byte(new, place), byte(old, place)
    if one ~= other then return one > other end
  end
  return length > stored
end
local keys, changes, taken = {}, {}, {}
for place = 1, #ARGV, 2 do keys[#keys + 1] = ARGV[place] end
local before = redis.call('HMGET', KEYS[1], unpack(keys))
for number, key in ipairs(keys) do
  local value = ARGV[2 * number]
  if not before[number] or newer(value, before[number]) then
    changes[#changes + 1] = key
    changes[#changes + 1] = value
    taken[number] = '1'
  else
    taken[number] = '0'
  end
end
if #changes > 0 then redis.call('HSET', KEYS[1], unpack(changes)) end
return table.concat(taken)
""")
"""Compare-and-set of many rows; each call is carried out whole, and by itself."""

DROP: Final = Script.of("""
local rows = redis.call('HLEN', KEYS[1])
redis.call('UNLINK', KEYS[1])
return rows
""")
"""Removes a view and returns how many rows it had."""


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
