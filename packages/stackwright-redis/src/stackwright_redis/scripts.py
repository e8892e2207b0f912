"""What the server carries out by itself, each call whole: Lua scripts.

None of them needs more rights than the commands that the README lists. A key that is removed is removed before anything
is stored, since a server whose memory is full lets a script go on that has begun by removing.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final, NamedTuple


class Script(NamedTuple):
    """A Lua script, and the name under which the server knows it once it was loaded."""

    text: bytes
    sha: bytes

    @classmethod
    def of(cls, *parts: str) -> Script:
        """Return a script of several parts."""
        text = "".join(parts).encode()
        return cls(text, sha1(text, usedforsecurity=False).hexdigest().encode())


_IN_PLACE: Final = """
-- KEYS[1]: the catalogue. ARGV: a view, its entry ('' for none). If it has another, null is returned and nothing done.
if (redis.call('HMGET', KEYS[1], ARGV[1])[1] or '') ~= ARGV[2] then return false end
"""

_NEWER: Final = """
-- Tokens are compared byte by byte: Lua compares strings by the server's locale.
local byte, sub = string.byte, string.sub
local function newer(new, length, old, before, stored)
  -- new: a length, a token, a payload. old: a token lies behind so many bytes, and is so long.
  for place = 1, math.min(length, stored) do
    local one, other = byte(new, place + 1), byte(old, before + place)
    if one ~= other then return one > other end
  end
  return length > stored
end
"""

_WRITE: Final = """
-- KEYS[2]: a hash. ARGV: view, entry, key, value, key, value, ... Returns a digit for each: 1 where it was stored.
local keys, changes, taken = {}, {}, {}
for place = 3, #ARGV, 2 do keys[#keys + 1] = ARGV[place] end
local stored = redis.call('HMGET', KEYS[2], unpack(keys))
for number, key in ipairs(keys) do
  local changed = change(stored[number], ARGV[2 * number + 2])
  if changed then
    changes[#changes + 1] = key
    changes[#changes + 1] = changed
  end
  taken[number] = changed and '1' or '0'
end
if #changes > 0 then redis.call('HSET', KEYS[2], unpack(changes)) end
return table.concat(taken)
"""

WRITE: Final = Script.of(
    _IN_PLACE,
    _NEWER,
    """
local function change(old, new)
  if not old or newer(new, byte(new, 1), old, 1, byte(old, 1)) then return new end
end
""",
    _WRITE,
)
"""Compare-and-set of many rows of a view that has a hash of its own."""

_FIND: Final = """
-- A shared value: see stackwright_redis.shared_rows. Returns a view's part: where its head begins, its body begins, and
-- ends, how long its token is; without the last two if it has none, and then where they belong.
local char = string.char
local function find(value, id)
  local parts = string.byte(value, 1)
  local head, body = 2, 2 + 11 * parts
  for _ = 1, parts do
    local name, token, payload = struct.unpack('<I6BI4', value, head)
    if name == id then return head, body, body + token + payload, token end
    if name > id then break end
    head, body = head + 11, body + token + payload
  end
  return head, body
end
"""

WRITE_SHARED: Final = Script.of(
    _IN_PLACE,
    _NEWER,
    _FIND,
    """
local id, name = struct.unpack('<I6', ARGV[2]), sub(ARGV[2], 1, 6)
local function change(old, new)
  local length = byte(new, 1)
  local described, added = name .. struct.pack('<BI4', length, #new - 1 - length), sub(new, 2)
  if not old then return '\\1' .. described .. added end
  local head, body, stop, token = find(old, id)
  if not stop then
    local parts = char(byte(old, 1) + 1)
    return parts .. sub(old, 2, head - 1) .. described .. sub(old, head, body - 1) .. added .. sub(old, body)
  end
  if newer(new, length, old, body - 1, token) then
    return sub(old, 1, head - 1) .. described .. sub(old, head + 11, body - 1) .. added .. sub(old, stop)
  end
end
""",
    _WRITE,
)
"""The same for a view that shares a hash."""

CUT: Final = Script.of(
    _FIND,
    """
-- KEYS[1]: a shared hash. ARGV: the name of a view's parts, keys. Removes them and returns how many there were.
local id, keys, gone, left = struct.unpack('<I6', ARGV[1]), {}, {}, {}
for place = 2, #ARGV do keys[place - 1] = ARGV[place] end
for number, old in ipairs(redis.call('HMGET', KEYS[1], unpack(keys))) do
  if old then
    local head, body, stop = find(old, id)
    if stop then
      local parts = string.byte(old, 1) - 1
      gone[#gone + 1] = keys[number]
      if parts > 0 then
        left[#left + 1] = keys[number]
        left[#left + 1] = char(parts) .. old:sub(2, head - 1) .. old:sub(head + 11, body - 1) .. old:sub(stop)
      end
    end
  end
end
local removed = 0
if #gone > 0 then removed = redis.call('HDEL', KEYS[1], unpack(gone)) end
if #left > 0 then redis.call('HSET', KEYS[1], unpack(left)) end
return removed
""",
)
"""Removes a view's parts of many shared values."""

DROP: Final = Script.of(
    _IN_PLACE,
    """
-- KEYS[2]: the hash of the view alone. Returns how many rows it had.
local rows = redis.call('HLEN', KEYS[2])
redis.call('UNLINK', KEYS[2])
return rows
""",
)
"""Removes a view that has a hash of its own."""

JOIN: Final = Script.of(
    """
-- KEYS: the catalogue, the hash of the view alone. ARGV: view, entry, the shared hash. Returns the entry that holds.
local held = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[3])
if held[1] then return held[1] end
if redis.call('HLEN', KEYS[2]) > 0 then return '' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], ARGV[3], (tonumber(held[2]) or 0) + 1)
return ARGV[2]
"""
)
"""Enters a view into the catalogue, unless it is there, or has rows in a hash of its own."""

LEAVE: Final = Script.of(
    _IN_PLACE,
    """
-- KEYS[2]: the shared hash. KEYS[3]: the hash of the view alone, to which an earlier version may have written since.
-- ARGV: view, entry, the shared hash in the catalogue, how the view is entered as left over.
-- Returns how many rows were removed, -1 if parts of the view are left over.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[3])
if tonumber(redis.call('HMGET', KEYS[1], ARGV[3])[1]) > 1 then
  redis.call('HSET', KEYS[1], ARGV[4], ARGV[2])
  return -1
end
local rows = redis.call('HLEN', KEYS[2])
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('UNLINK', KEYS[2])
return rows
""",
)
"""Takes a view that shares a hash out of the catalogue, and its rows too if it was the last."""

SWEPT: Final = Script.of(
    """
-- KEYS: the catalogue, the shared hash. ARGV: as what the view is entered, the shared hash in the catalogue.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  local views = tonumber(redis.call('HMGET', KEYS[1], ARGV[2])[1]) - 1
  redis.call('HDEL', KEYS[1], ARGV[2])
  if views > 0 then redis.call('HSET', KEYS[1], ARGV[2], views) else redis.call('UNLINK', KEYS[2]) end
end
return 0
"""
)
"""Forgets a view of which nothing is left over."""
