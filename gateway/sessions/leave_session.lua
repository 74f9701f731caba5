-- Lets a session's socket go: from now on it waits for the socket to come back, or is dropped.
--
-- KEYS  1 session
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 ms to wait, 0 to drop it
--       4 ms until its socket counts as gone  5 microseconds within which a dead socket is noticed
--       6 seq since which the socket was there  7 pid  8 user  9 generation of the socket that went, 0 for any
--       10.. conversations that it was typing in
-- Returns the ms after which a sweep is due, -1 where none is.
local generation = redis.call('HGET', KEYS[1], 'g')
if generation and ARGV[9] ~= '0' and generation ~= ARGV[9] then return -1 end
local p = people(ARGV[1], ARGV[2])
for i = 10, #ARGV do p.stop_typing(ARGV[i], ARGV[7]) end
if ARGV[3] == '0' then
  -- Without its user nobody can claim it; what else it says is needed to see the socket off.
  redis.call('HDEL', KEYS[1], 'u')
  if ARGV[4] == '0' then
    p.gone(ARGV[7], ARGV[8])
    return p.delay
  end
end
p.leave(ARGV[7], ARGV[8], tonumber(ARGV[4]))
if not generation or ARGV[3] == '0' then return p.delay end
local seen = p.us - ARGV[5]
if seen > tonumber(ARGV[6]) then redis.call('HSET', KEYS[1], 't', string.format('%.0f', seen)) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return p.delay
