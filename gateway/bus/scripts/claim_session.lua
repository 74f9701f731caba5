-- Takes a session over for a socket that came back, and sends its old socket away, wherever that lives.
--
-- KEYS  1 meta  2 session  3 revoked  4 channel of the user's own room
-- ARGV  1 epoch to begin with  2 user  3 ms the session lives  4 PUBLISH or SPUBLISH  5 pid
-- Returns {epoch, seq, session fields or nil, revoked fields}; a session of another user stays untouched.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local now = redis.call('TIME')
local seq = now[1] * 1000000 + now[2]
local epoch = meta[1]
if epoch then
  local last = tonumber(meta[2])
  if seq < last then seq = last end
else
  epoch = ARGV[1]
end
local id = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', id)
local owner = redis.call('HGET', KEYS[2], 'u')
if not owner then return {epoch, id, false, {}} end
if owner ~= ARGV[2] then return {epoch, id, {'u', owner}, {}} end
local generation = redis.call('HINCRBY', KEYS[2], 'g', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call(ARGV[4], KEYS[4], epoch .. '-' .. id .. ' 0 c -\n{"do":"close","pid":"' .. ARGV[5] ..
  '","before":' .. generation .. '}')
return {epoch, id, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
