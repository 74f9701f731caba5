-- Lets a session's socket go: from now on it waits for the socket to come back, or is dropped.
--
-- KEYS  1 session  2 sockets of the user  3 users online
-- ARGV  1 ms to wait, 0 to drop it  2 microseconds within which a dead socket is noticed
--       3 seq since which the socket was there  4 pid  5 user  6 generation of the socket that went, 0 for any
-- Returns 1, or 0 where the session is gone or has a newer socket.
local generation = redis.call('HGET', KEYS[1], 'g')
if generation and ARGV[6] ~= '0' and generation ~= ARGV[6] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[4])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[3], ARGV[5]) end
if not generation then return 0 end
if ARGV[1] == '0' then
  redis.call('DEL', KEYS[1])
  return 1
end
local now = redis.call('TIME')
local seen = now[1] * 1000000 + now[2] - ARGV[2]
if seen > tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], 't', string.format('%.0f', seen)) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
