-- Renews sessions of one tenant, and notes until when their sockets certainly had everything.
--
-- KEYS  the sessions
-- ARGV  1 ms a session lives  2 microseconds within which a dead socket is noticed
--       3.. for each, the generation of its socket, and the seq since which that was handed everything at once: what it
--       was handed late may never have reached it
-- Returns the time in microseconds, and for each session the generation that it has, 0 where it is gone. The session of
-- another generation stays as it is.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local seen, found = now - ARGV[2], {string.format('%.0f', now)}
for i, session in ipairs(KEYS) do
  local generation = redis.call('HGET', session, 'g')
  found[i + 1] = generation or '0'
  if generation == ARGV[2 * i + 1] then
    redis.call('PEXPIRE', session, ARGV[1])
    if seen > tonumber(ARGV[2 * i + 2]) then redis.call('HSET', session, 't', string.format('%.0f', seen)) end
  end
end
return found
