-- Renews sessions of one tenant, and notes the seqs up to which their sockets certainly got every event.
--
-- KEYS  the sessions
-- ARGV  1 ms that a session lives  2 microseconds within which a dead socket is noticed
--       3.. of each session the generation of its socket, and the seq since which the socket got every event at once:
--       events that it got late may never have reached it
-- Returns the time in microseconds, and the generation of each session, 0 if it is gone. A session with another
-- generation stays as it is.
local now = redis_time()
local seen, found = now - ARGV[2], {digits(now)}
for i, session in ipairs(KEYS) do
  local generation = redis.call('HGET', session, 'g')
  found[i + 1] = generation or '0'
  if generation == ARGV[2 * i + 1] then
    redis.call('PEXPIRE', session, ARGV[1])
    redis.call('HDEL', session, 'w')
    if seen > tonumber(ARGV[2 * i + 2]) then redis.call('HSET', session, 't', digits(seen)) end
  end
end
return found
