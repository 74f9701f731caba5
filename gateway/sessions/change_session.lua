-- Adds a room to a session or removes one.
--
-- KEYS  1 session
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 ms that the session lives  4 room
--       5 seq of the join, empty to remove the room  6 pid  7 user  8 seq of presence that the socket has, or empty
--       9 generation of the socket; a session with another generation stays as it is
--       10 the stays that the socket remembers, with this one, when it leaves  11 1 if the room is taken from it
-- Returns {known, delay, people}. `known` is 0 if the session is gone and must be written again. `delay` is as in
-- `open_session.lua`. `people`, only of a conversation that was joined, is {seq, viewers, typists, stopped}. Changes at
-- or below `seq` were published before. `viewers` is an event, or false if the whole room just got it. `typists` are
-- the users who type, and `stopped` those who have stopped since ARGV 8.
--
-- The session is written last: if an earlier command fails, the session and the socket's rooms stay as they were.
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
    if ARGV[11] == '1' then redis.call('HSET', KEYS[1], 'k:' .. room, p.seq()) end
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
redis.call('HDEL', KEYS[1], 'k:' .. room)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, p.delay, told}
