-- Notes that something for a session's socket is gone, whatever its client has seen since.
--
-- KEYS  1 session  2 meta  3 channel of the user's own room
-- ARGV  1 PUBLISH or SPUBLISH  2 pid  3 generation of the socket that missed something
-- Returns 1, or 0 where the session is gone itself. Another socket that has taken it up already, and was not told, is
-- sent away: it comes back, and is.
local generation = redis.call('HGET', KEYS[1], 'g')
if not generation then return 0 end
redis.call('HSET', KEYS[1], 'x', '1')
if tonumber(generation) > tonumber(ARGV[3]) then
  local known = redis.call('HMGET', KEYS[2], 'epoch', 'seq')
  redis.call(ARGV[1], KEYS[3], known[1] .. '-' .. known[2] .. ' 0 c -\n{"do":"close","pid":"' .. ARGV[2] ..
    '","before":' .. string.format('%.0f', generation + 1) .. '}')
end
return 1
