-- Renews sessions of one tenant, and notes until when their sockets certainly had everything.
--
-- KEYS  the sessions
-- ARGV  1 ms a session lives  2 microseconds within which a dead socket is noticed
--       3.. for each, the seq since which its socket is there: what it was given on arrival may never have reached it
-- Returns for each 1, or 0 where it is gone and must be written anew.
local now = redis.call('TIME')
local seen, alive = now[1] * 1000000 + now[2] - ARGV[2], {}
for i, session in ipairs(KEYS) do
  alive[i] = redis.call('PEXPIRE', session, ARGV[1])
  if alive[i] == 1 and seen > tonumber(ARGV[i + 2]) then
    redis.call('HSET', session, 't', string.format('%.0f', seen))
  end
end
return alive
