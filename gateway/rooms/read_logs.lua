-- Reads the logs of rooms of one tenant, each after a given seq, all at one moment.
--
-- KEYS  1 meta | n logs | n tails
-- ARGV  1 n  2 epoch to begin with  3 most entries of a room, the newest ones first; empty for all, the oldest first
--       4 highest seq of an entry, empty for no limit  5 bytes after which reading stops | n seqs
-- Returns {epoch, seq, now, ttl, brief, {tail, entries, more}...}. With ARGV 3, a room may have one entry more. `more`
-- is 1 if a room may have further entries. Events are kept for `ttl` ms now; `brief` is "<seq> <ms>": events up to that
-- seq were kept for fewer ms. Both may be empty.
local n = tonumber(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'ttl', 'brief')
local micros = digits(redis_time())
if not meta[1] then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'seq', micros)
  meta = {ARGV[2], micros, false, false}
end
local found = {meta[1], meta[2], micros, meta[3] or '', meta[4] or ''}
local newest, left = tonumber(ARGV[3]), tonumber(ARGV[5])
for i = 1, n do
  local log, entries, more = KEYS[1 + i], {}, 0
  local from, to = '(' .. ARGV[5 + i] .. '-0', ARGV[4] == '' and '+' or ARGV[4] .. '-0'
  while more == 0 do
    if left <= 0 then more = 1 break end
    local count = newest and math.min(50, newest + 1 - #entries) or 50
    local part = newest and redis.call('XREVRANGE', log, to, from, 'COUNT', count)
      or redis.call('XRANGE', log, from, to, 'COUNT', count)
    local taken = 0
    for _, entry in ipairs(part) do
      taken = taken + 1
      entries[#entries + 1] = entry
      left = left - 128 - #(entry[2][2] or '')
      if left <= 0 then break end
    end
    if taken < #part then more = 1 break end
    if #part < count or newest and #entries > newest then break end
    local last = '(' .. part[#part][1]
    if newest then to = last else from = last end
  end
  found[#found + 1] = {string.match(redis.call('GET', KEYS[1 + n + i]) or '0', '^%d+'), entries, more}
end
return found
