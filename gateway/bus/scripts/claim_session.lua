-- Takes a session over for a socket that came back, and sends its old socket away, wherever that lives.
--
-- KEYS  1 meta  2 session  3 revoked  4 sockets of the user  5 users online  6 channel of the user's own room
-- ARGV  1 epoch to begin with  2 user  3 ms the session lives  4 pid  5 sockets a user may have, 0 for any
--       6 PUBLISH or SPUBLISH  7 what the sessions' keys begin with
-- Returns {epoch, seq, session fields or nil, revoked fields}; a session of another user stays untouched.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
local seq = micros
local epoch = meta[1]
if epoch then
  local last = tonumber(meta[2])
  if seq < last then seq = last end
else
  epoch = ARGV[1]
end
local id = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', id)
local revoked = redis.call('HGETALL', KEYS[3])
local owner = redis.call('HGET', KEYS[2], 'u')
if not owner then return {epoch, id, false, revoked} end
if owner ~= ARGV[2] then return {epoch, id, {'u', owner}, revoked} end
local generation = redis.call('HINCRBY', KEYS[2], 'g', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call(ARGV[6], KEYS[6], epoch .. '-' .. id .. ' 0 c -\n{"do":"close","pid":"' .. ARGV[4] ..
  '","before":' .. generation .. '}')
count_socket(KEYS[4], KEYS[5], KEYS[6], ARGV[7], ARGV[2], ARGV[4], micros, tonumber(ARGV[3]),
  tonumber(ARGV[5]), ARGV[6], epoch .. '-' .. id)
return {epoch, id, redis.call('HGETALL', KEYS[2]), revoked}
