-- Adds a room to a session or takes one out.
--
-- KEYS  1 session
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 ms the session lives  4 room
--       5 joined at, empty to take it out  6 pid  7 user
-- Returns {known, delay, viewers, typists}: `known` is 0 where the session is gone and must be written anew,
-- `delay` as at the opening of a session; of a conversation that was joined the event that names its viewers and
-- the users who type there.
local p = people(ARGV[1], ARGV[2])
local known = redis.call('EXISTS', KEYS[1])
local is_conversation = string.sub(ARGV[4], 1, 13) == 'conversation:'
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[1], 'r:' .. ARGV[4])
  if is_conversation then
    p.stop_typing(ARGV[4], ARGV[7], '@' .. ARGV[7])
    p.look_away(ARGV[4], ARGV[6], ARGV[7])
  end
  return {known, p.delay, false, {}}
end
if known == 0 then return {0, -1, false, {}} end
redis.call('HSET', KEYS[1], 'r:' .. ARGV[4], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if not is_conversation then return {1, p.delay, false, {}} end
p.look_at(ARGV[4], ARGV[6], ARGV[7])
return {1, p.delay, p.viewers_event(ARGV[4]), p.typists(ARGV[4])}
