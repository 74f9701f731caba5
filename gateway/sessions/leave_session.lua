-- Notes that a session's socket has ended: the session waits for it to come back, or is dropped.
--
-- KEYS  1 session
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 ms to wait, 0 to drop the session
--       4 ms until the socket counts as gone  5 microseconds within which a dead socket is noticed
--       6 seq since which the socket got every event at once  7 pid  8 user  9 generation of the socket, 0 for any
--       10 ms that the key of a waiting session lives: longer than it waits, because a sweep that comes late still needs
--       the rooms, to remove the socket from them  11.. conversations in which it was typing
-- Returns the ms until a sweep is due, -1 for none.
local generation = redis.call('HGET', KEYS[1], 'g')
if generation and ARGV[9] ~= '0' and generation ~= ARGV[9] then return -1 end
local p = people(ARGV[1], ARGV[2])
for i = 11, #ARGV do p.stop_typing(ARGV[i], ARGV[7]) end
if ARGV[3] == '0' then
  -- Without its user no socket can claim it. Its rooms are still needed, to remove the socket from them.
  redis.call('HDEL', KEYS[1], 'u')
  if ARGV[4] == '0' then
    p.gone(ARGV[7], ARGV[8])
    return p.delay
  end
end
p.leave(ARGV[7], ARGV[8], tonumber(ARGV[4]))
if not generation or ARGV[3] == '0' then return p.delay end
local seen = p.us - ARGV[5]
if seen > tonumber(ARGV[6]) then redis.call('HSET', KEYS[1], 't', digits(seen)) end
redis.call('HSET', KEYS[1], 'w', digits(p.ms + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[10])
return p.delay
