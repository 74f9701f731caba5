-- Adds a room to a session or takes one out.
--
-- KEYS  1 session
-- ARGV  1 ms the session lives  2 room  3 joined at, empty to take it out
-- Returns 1, or 0 where the session is gone and must be written anew.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'r:' .. ARGV[2])
else
  redis.call('HSET', KEYS[1], 'r:' .. ARGV[2], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
