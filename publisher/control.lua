-- Revokes access of a user: tells the gateways now, and remembers it for later. Atomic, in one round trip.
--
-- KEYS  1 meta  2 revoked  3 channel of the user's own room  4 blocked (optional): exists while a room is blocked
-- ARGV  1 body, a JSON object for the gateways  2 PUBLISH or SPUBLISH  3 epoch for a tenant without one
--       4 field to remember: a room, * for all, token/<id>, before; empty for none
--       5 ms to remember it  6 with "before", Unix time in seconds (the latest counts); else empty
--       7 traceparent or empty  8 with the 4th key, ms for which it exists from now on; 0 deletes it
-- Returns {0, offset}.
--
-- About every 32nd new field deletes the fields that are older than `kept` ms, the longest time asked for so far.
local SWEPT_EVERY = 32
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local epoch = meta[1]
local seq = next_seq(redis_time(), meta[2])
local id = digits(seq)
if not epoch then
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
redis.call('HSET', KEYS[1], 'seq', id)

-- Deletes the fields of revocations older than `ms`. Their values are seqs, in microseconds.
local function sweep(ms)
  local found, old = redis.call('HGETALL', KEYS[2]), {}
  for i = 1, #found, 2 do
    local what = found[i]
    if what ~= 'before' and what ~= 'kept' and tonumber(found[i + 1]) < seq - ms * 1000 then old[#old + 1] = what end
  end
  for _, what in ipairs(old) do redis.call('HDEL', KEYS[2], what) end
end

if ARGV[4] ~= '' then
  local value = id
  if ARGV[6] ~= '' then
    local known = redis.call('HGET', KEYS[2], ARGV[4])
    value = known and tonumber(known) > tonumber(ARGV[6]) and known or ARGV[6]
  end
  local kept = math.max(tonumber(redis.call('HGET', KEYS[2], 'kept') or 0), tonumber(ARGV[5]))
  local is_new = redis.call('HSET', KEYS[2], ARGV[4], value, 'kept', digits(kept)) > 0
  if is_new and redis.call('HLEN', KEYS[2]) % SWEPT_EVERY == 0 then sweep(kept) end
  if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
end
if KEYS[4] then
  if ARGV[8] == '0' then redis.call('PEXPIRE', KEYS[4], 0) else redis.call('SET', KEYS[4], id, 'PX', ARGV[8]) end
end
local offset = epoch .. '-' .. id
local trace = ARGV[7] == '' and '' or ' t=' .. ARGV[7]
redis.call(ARGV[2], KEYS[3], message(offset, '0', 'c -' .. trace, ARGV[1]))
return {0, offset}
