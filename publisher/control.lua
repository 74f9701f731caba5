-- Takes access away from a user, now and for what is to come, atomically, in one round trip.
--
-- KEYS  1 meta  2 revoked  3 channel of the user's own room
-- ARGV  1 body, a JSON object for the gateways  2 PUBLISH or SPUBLISH  3 epoch to begin with
--       4 what to remember: a room that is taken away, * for all, token/<id>, before; empty for nothing
--       5 ms to remember it  6 with "before", seconds since 1970, of which the latest counts; else empty
--       7 traceparent or empty
-- Returns {0, offset}.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local epoch = meta[1]
local now = redis.call('TIME')
local seq = now[1] * 1000000 + now[2]
if epoch then
  local last = tonumber(meta[2])
  if seq <= last then seq = last + 1 end
else
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
local id = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'seq', id)
if ARGV[4] ~= '' then
  local value = id
  if ARGV[6] ~= '' then
    local known = redis.call('HGET', KEYS[2], ARGV[4])
    value = known and tonumber(known) > tonumber(ARGV[6]) and known or ARGV[6]
  end
  redis.call('HSET', KEYS[2], ARGV[4], value)
  if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
end
local offset = epoch .. '-' .. id
local trace = ARGV[7] == '' and '' or ' t=' .. ARGV[7]
redis.call(ARGV[2], KEYS[3], offset .. ' 0 c -' .. trace .. '\n' .. ARGV[1])
return {0, offset}
