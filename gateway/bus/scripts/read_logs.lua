-- Reads what rooms of one tenant have kept after a given seq, all at one moment.
--
-- KEYS  1 meta | n logs | n tails
-- ARGV  1 n  2 epoch to begin with  3 most entries a room, the newest | n seqs
-- Returns {epoch, seq, now, ttl, brief, {tail, entries}...}, entries newest first, at most one more than asked for;
-- `ttl` is for how many ms events are kept as of now, and `brief` "<seq> <ms>": up to that seq it was less. Both may be
-- empty.
local n = tonumber(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'ttl', 'brief')
local now = redis.call('TIME')
local micros = string.format('%.0f', now[1] * 1000000 + now[2])
if not meta[1] then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'seq', micros)
  meta = {ARGV[2], micros, false, false}
end
local found = {meta[1], meta[2], micros, meta[3] or '', meta[4] or ''}
for i = 1, n do
  local entries = redis.call('XREVRANGE', KEYS[1 + i], '+', '(' .. ARGV[3 + i] .. '-0',
    'COUNT', tonumber(ARGV[3]) + 1)
  found[#found + 1] = {string.match(redis.call('GET', KEYS[1 + n + i]) or '0', '^%d+'), entries}
end
return found
