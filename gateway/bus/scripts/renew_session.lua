-- Renews a session, and notes until when its socket certainly had everything.
--
-- KEYS  1 session
-- ARGV  1 ms the session lives  2 microseconds within which a dead socket is noticed
--       3 seq since which the socket is there: what it was given on arrival may never have reached it
-- Returns 1, or 0 where the session is gone and must be written anew.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local now = redis.call('TIME')
local seen = now[1] * 1000000 + now[2] - ARGV[2]
if seen > tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], 't', string.format('%.0f', seen)) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
