-- Notes that an event for a session's socket is lost, also if the client's offset does not show it.
--
-- KEYS  1 session
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 pid  4 user
--       5 generation of the socket that missed the event
-- Returns 1, or 0 if the session is gone. If another socket has claimed the session already, it was not told: it is
-- closed, and is told when it comes back.
local generation = redis.call('HGET', KEYS[1], 'g')
if not generation then return 0 end
redis.call('HSET', KEYS[1], 'x', '1')
if tonumber(generation) > tonumber(ARGV[5]) then
  tenant(ARGV[1], ARGV[2]).close_older(ARGV[4], ARGV[3], generation + 1)
end
return 1
