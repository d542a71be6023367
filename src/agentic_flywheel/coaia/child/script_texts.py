"""Holds the Lua that runs inside of Redis: steps that must not be interrupted, and searches near the data.

`pcall` calls what an access list may forbid or an older Redis lack. No script decodes our JSON: Lua's cjson would turn
[] into {} and damage big integers.
"""

IN_PLACE_FROM = 128 * 1024
"""Bytes of a document from which on what changed is written into it: Redis keeps room behind it then, as much as it
has and up to a megabyte, and need not take it through Lua to make all of it anew, which is four fifths of the time."""

NOT_LISTED = 2
"""What `COMMIT_AND_LIST` answers if the document is written and the listing is not."""

AS_OF_NOW = """
if redis.replicate_commands then redis.replicate_commands() end
local function as_of_now(score, fresh)
  local time = redis.pcall('TIME')
  if time.err then return score end
  local now, given = time[1] * 1000000 + time[2], tonumber(score)
  if given > now or (fresh == '1' and given < now - 60000000) then return string.format('%.0f', now) end
  return score
end
"""
"""A function that caps a score at Redis' own time, or sessions of a machine whose clock is ahead would stay the latest.
What was saved just now (`fresh`, by the clock of its machine) is not listed more than a minute before that either, or
sessions of a machine whose clock is behind would never be the latest.
A script calls it before it writes. (Before Redis 5 a script that asks for the time must be replicated by its effects.)
"""

OUTLAST = """
local function outlast(key, was_there, life)
  if life == '0' then
    redis.pcall('PERSIST', key)
  elseif was_there == 0 then
    redis.pcall('PEXPIRE', key, life)
  else
    local left = redis.pcall('PTTL', key)
    if type(left) == 'number' and left >= 0 and left < tonumber(life) then redis.pcall('PEXPIRE', key, life) end
  end
end
"""
"""A function that has a list live as long as the longest life in it, so that it is gone when no program of ours runs.
A list that was there without an end keeps none."""

# A document is compared by its beginning, which names its revision, and its end, which names the write that made it.
# KEYS[1]: the document. ARGV: how what was seen begins, "drop" or "", text, milliseconds to live, how what was seen
# ends; if the sixth is not "", the new text is the third, the bytes sixth to seventh of the old one, and the eighth.
_COMPARE = """
if ARGV[1] == '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
elseif redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then
  return 0
elseif ARGV[5] ~= '' and redis.call('GETRANGE', KEYS[1], -#ARGV[5], -1) ~= ARGV[5] then
  return 0
end
local function put(key, text)
  if ARGV[4] == '0' then redis.call('SET', key, text) else redis.call('SET', key, text, 'PX', ARGV[4]) end
end
local function live(key)
  if ARGV[4] == '0' then return redis.pcall('PERSIST', key) end
  return redis.pcall('PEXPIRE', key, ARGV[4])
end
"""
_WRITE = f"""
local function in_place()
  local length = redis.call('STRLEN', KEYS[1])
  local behind = length + ARGV[7] + 1
  if length < {IN_PLACE_FROM} or #ARGV[3] ~= tonumber(ARGV[6]) or behind + #ARGV[8] < length then return false end
  if type(live(KEYS[1])) == 'table' then return false end
  if type(redis.pcall('SETRANGE', KEYS[1], 0, ARGV[3])) == 'table' then return false end
  redis.call('SETRANGE', KEYS[1], behind, ARGV[8])
  return true
end
if ARGV[2] == 'drop' then
  redis.call('DEL', KEYS[1])
elseif ARGV[6] == '' then
  put(KEYS[1], ARGV[3])
elseif not in_place() then
  put(KEYS[1], ARGV[3] .. redis.call('GETRANGE', KEYS[1], ARGV[6], ARGV[7]) .. ARGV[8])
end
"""
COMMIT = f"{_COMPARE}{_WRITE}return 1"
"""One key: all that a cluster's node may be asked at once."""

READ = "return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}"
"""Unlike MGET it does not take a value of another type for none."""

READ_AT_ONCE = 256 * 1024
"""Bytes of a document from which on it is read alone: some of those in one answer would hold up all others."""

# KEYS: a document and its tombstone, in turn. ARGV: for each two how the document that is known begins and ends, and
# its bytes.
READ_SOME = f"""
local function read(key, head, ending, size)
  local length = redis.pcall('STRLEN', key)
  if type(length) == 'table' then return 0 end
  if head ~= '' and (size == '0' or length == tonumber(size))
    and redis.call('GETRANGE', key, 0, #head - 1) == head
    and redis.call('GETRANGE', key, -#ending, -1) == ending then return 1 end
  return length < {READ_AT_ONCE} and redis.call('GET', key) or length > 0 and 0
end
local rows = {{}}
for i = 1, #KEYS, 2 do
  local at = (i - 1) / 2 * 3
  rows[#rows + 1] = {{read(KEYS[i], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]), redis.call('GET', KEYS[i + 1])}}
end
return rows
"""
"""1 stands for a document that is as it is known, 0 for one that is to be read alone."""

# KEYS also: where the text that was there is kept (the document's own key: nowhere), the tombstone, the index, its
# notes, the keys that live as long, and the keys that are deleted.
# ARGV also: the tombstone that was seen; score, member and note, or ""; the number of keys that are deleted; "1" if it
# was saved just now.
COMMIT_AND_LIST = f"""{AS_OF_NOW}{OUTLAST}
{_COMPARE}
local function keep()
  -- Inside of Redis, without a way through Lua; before 6.2 it cannot.
  local copied = redis.pcall('COPY', KEYS[1], KEYS[2], 'REPLACE')
  if type(copied) == 'table' then
    put(KEYS[2], redis.call('GET', KEYS[1]))
  else
    live(KEYS[2])
  end
end
if ARGV[1] == '' and (redis.call('GET', KEYS[3]) or '') ~= ARGV[9] then return 0 end
local score = ARGV[11] ~= '' and as_of_now(ARGV[10], ARGV[14])
if KEYS[2] ~= KEYS[1] then keep() end
{_WRITE}
for i = 6, #KEYS - ARGV[13] do live(KEYS[i]) end
for i = #KEYS - ARGV[13] + 1, #KEYS do redis.pcall('DEL', KEYS[i]) end
if ARGV[11] ~= '' then
  local was_there = redis.pcall('EXISTS', KEYS[4])
  local placed = redis.pcall('ZADD', KEYS[4], score, ARGV[11])
  outlast(KEYS[4], was_there, ARGV[4])
  local noted = ''
  if ARGV[12] ~= '' then
    was_there = redis.pcall('EXISTS', KEYS[5])
    noted = redis.pcall('HSET', KEYS[5], ARGV[11], ARGV[12])
    if ARGV[4] ~= '0' then redis.pcall('HPEXPIRE', KEYS[5], ARGV[4], 'FIELDS', 1, ARGV[11]) end
    outlast(KEYS[5], was_there, ARGV[4])
  end
  if type(placed) == 'table' or type(noted) == 'table' then return {NOT_LISTED} end
end
return 1
"""
"""The whole of a save in one round trip, where all keys are on one node."""

# KEYS: a text, or a hash. ARGV: the hash's field or "", the text that was seen, the one that takes its place.
SWAP = """
if redis.replicate_commands then redis.replicate_commands() end
local field, seen, text = ARGV[1], ARGV[2], ARGV[3]
if field ~= '' then
  if redis.call('HGET', KEYS[1], field) ~= seen then return 0 end
  local left = redis.pcall('HPTTL', KEYS[1], 'FIELDS', 1, field)
  redis.call('HSET', KEYS[1], field, text)
  if not left.err and left[1] > 0 then redis.pcall('HPEXPIRE', KEYS[1], left[1], 'FIELDS', 1, field) end
  return 1
end
if redis.call('GET', KEYS[1]) ~= seen then return 0 end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then redis.call('SET', KEYS[1], text) else redis.call('SET', KEYS[1], text, 'PX', math.max(left, 1)) end
return 1
"""
"""Put another text in the place of one, if it is still that; it lives as long as that would have."""

# KEYS: documents, then their tombstones in the same order. ARGV: how many bytes of each end. What is of another type
# has no beginning.
MARKS = """
local function head(key)
  local text = redis.pcall('GETRANGE', key, 0, ARGV[1] + 3 * #key)
  return type(text) == 'string' and text
end
local function tail(key)
  local text = redis.pcall('GETRANGE', key, -ARGV[2], -1)
  return type(text) == 'string' and text or ''
end
local half, rows = #KEYS / 2, {}
for i = 1, half do rows[i] = {head(KEYS[i]), tail(KEYS[i]), head(KEYS[half + i]) or ''} end
return rows
"""

# The same of one key, all that a cluster's node may be asked at once.
ENDS = """
local function part(first, last)
  local text = redis.pcall('GETRANGE', KEYS[1], first, last)
  return type(text) == 'string' and text
end
return {part(0, ARGV[1] + 3 * #KEYS[1]), part(-ARGV[2], -1) or ''}
"""

# Reading thousands of rows to throw them away would take most of the time.
# KEYS: the listing, and its notes if they are on this node.
# ARGV: score and member to go on behind (or ""), rows that are enough, microseconds, how many patterns of ids follow;
# those, then texts. A text that is not there may be written with escapes.
# The answer: whether this is the end, the last member that was looked at and its score, then rows: member, score, note.
LOOK = """
local function micros()
  local ok, seconds = pcall(function() return os.clock() end)
  if ok then return seconds * 1000000 end
  local time = redis.pcall('TIME')
  return time.err and 0 or time[1] * 1000000 + time[2]
end
local enough, budget = tonumber(ARGV[3]), tonumber(ARGV[4])
local patterns, texts = {}, {}
for i = 6, #ARGV do
  if #patterns < tonumber(ARGV[5]) then patterns[#patterns + 1] = string.gsub(ARGV[i], '\\1', '\\128-\\191')
  else texts[#texts + 1] = ARGV[i] end
end
local function named(id)
  local at = 1
  for i, pattern in ipairs(patterns) do
    local anchored = (i == 1 and '^' or '') .. pattern .. (i == #patterns and '$' or '')
    local first, last = string.find(id, anchored, at)
    if not first then return false end
    at = last + 1
  end
  return true
end
local function fits(note)
  local escapes
  for _, text in ipairs(texts) do
    if not string.find(note, text, 1, true) then
      if escapes == nil then
        escapes = string.find(note, '\\\\', 1, true) ~= nil and string.find(note, '\\\\[u/]') ~= nil
      end
      if not escapes then return false end
    end
  end
  return true
end
local place = 0
if ARGV[2] ~= '' then
  local score = redis.call('ZSCORE', KEYS[1], ARGV[2])
  if score and tonumber(score) == tonumber(ARGV[1]) then
    place = redis.call('ZREVRANK', KEYS[1], ARGV[2]) + 1
  else  -- It is gone, or was saved since: some that were seen may come again.
    place = redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[1], '+inf')
  end
end
local began, rows, last, ended = micros(), {}, false, false
repeat
  local members = redis.call('ZREVRANGE', KEYS[1], place, place + 99)
  ended = #members < 100
  local some = {}
  for _, member in ipairs(members) do
    if named(member) then some[#some + 1] = member end
  end
  last = members[#members] or last
  local notes = #some > 0 and KEYS[2] and redis.call('HMGET', KEYS[2], unpack(some)) or {}
  for i, member in ipairs(some) do
    if not KEYS[2] or not notes[i] or fits(notes[i]) then
      rows[#rows + 1] = {member, redis.call('ZSCORE', KEYS[1], member), notes[i] or false}
      if #rows == enough then
        ended = ended and member == members[#members]
        last = member
        break
      end
    end
  end
  place = place + #members
until ended or #rows == enough or micros() - began > budget
return {ended and 1 or 0, last, last and redis.call('ZSCORE', KEYS[1], last), rows}
"""

# KEYS: the listing. ARGV: score, member, milliseconds to live, "1" if it was saved just now.
PLACE = f"""{AS_OF_NOW}{OUTLAST}
local score = as_of_now(ARGV[1], ARGV[4])
local was_there = redis.pcall('EXISTS', KEYS[1])
local placed = redis.call('ZADD', KEYS[1], score, ARGV[2])
outlast(KEYS[1], was_there, ARGV[3])
return placed
"""

# KEYS: the notes of a listing. ARGV: member, note, milliseconds to live. Redis 7.4 knows lives of single fields.
NOTE = f"""{OUTLAST}
local was_there = redis.pcall('EXISTS', KEYS[1])
local noted = redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '0' then redis.pcall('HPEXPIRE', KEYS[1], ARGV[3], 'FIELDS', 1, ARGV[1]) end
outlast(KEYS[1], was_there, ARGV[3])
return noted
"""
