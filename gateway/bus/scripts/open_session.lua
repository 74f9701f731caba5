-- Writes a whole session: at connect, or again when Redis has lost it.
--
-- KEYS  1 meta  2 session  3 revoked  4 sockets of the user  5 users online  6 channel of the user's own room
-- ARGV  1 epoch to begin with  2 events kept a room  3 ms kept  4 ms the session lives  5 user  6 sid
--       7 generation  8 pid  9 why an earlier session was lost, or empty  10 sockets a user may have, 0 for any
--       11 PUBLISH or SPUBLISH  12 what the sessions' keys begin with  13.. room, joined at ('' for now) ...
-- Returns {epoch, seq, revoked fields}: everything published so far is at or below seq, everything later above.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl')
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
if meta[3] ~= ARGV[2] or meta[4] ~= ARGV[3] then
  redis.call('HSET', KEYS[1], 'keep', ARGV[2], 'ttl', ARGV[3])
end
local fields = {'u', ARGV[5], 's', ARGV[6], 'g', ARGV[7], 'at', id}
if ARGV[9] ~= '' then
  fields[#fields + 1] = 'l'
  fields[#fields + 1] = ARGV[9]
end
for i = 13, #ARGV, 2 do
  fields[#fields + 1] = 'r:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1] == '' and id or ARGV[i + 1]
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
count_socket(KEYS[4], KEYS[5], KEYS[6], ARGV[12], ARGV[5], ARGV[8], micros, tonumber(ARGV[4]),
  tonumber(ARGV[10]), ARGV[11], epoch .. '-' .. id)
return {epoch, id, redis.call('HGETALL', KEYS[3])}
