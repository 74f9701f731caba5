-- Adds a room to a session or takes one out.
--
-- KEYS  1 session
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 ms the session lives  4 room
--       5 joined at, empty to take it out  6 pid  7 user  8 seq that the socket has, or empty
--       9 generation of the socket: the session of one that has another by now stays as it is
--       10 the stays that the socket remembers, with this one, when it leaves
-- Returns {known, delay, people}: `known` is 0 where the session is gone and must be written anew, `delay` as at the
-- opening of a session; `people` of a conversation that was joined is {seq, viewers, typists, stopped}: an event that
-- names who looks at it, unless the whole room was just told, who types there, and who has stopped since that seq.
-- Everything told at or below the first seq came before.
--
-- The session is written last: where anything else fails it is as it was, and the room of the socket, too.
local p = people(ARGV[1], ARGV[2])
local generation, room, pid, user = redis.call('HGET', KEYS[1], 'g'), ARGV[4], ARGV[6], ARGV[7]
local known = generation and 1 or 0
if generation and generation ~= ARGV[9] then return {1, -1, false} end
if ARGV[5] == '' then
  if conversation_of(room) then
    p.stop_typing(room, pid)
    p.look_away(room, pid, user)
  end
  if known == 1 then
    redis.call('HDEL', KEYS[1], 'r:' .. room)
    redis.call('HSET', KEYS[1], 'p', ARGV[10])
  end
  return {known, p.delay, false}
end
if known == 0 then return {0, -1, false} end
local told = false
if conversation_of(room) then
  local viewers = not p.look_at(room, pid, user) and p.viewers_event(room)
  local stopped = ARGV[8] ~= '' and p.stopped(room, ARGV[8]) or {}
  told = {p.seq(), viewers, p.typists(room), stopped}
end
redis.call('HSET', KEYS[1], 'r:' .. room, ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, p.delay, told}
