-- Reads the viewers and typists of conversations for a socket, and the changes that it missed.
--
-- KEYS  1 meta
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 user  4 seq that the socket has, or empty
--       5.. rooms
-- Returns {seq, statuses, {viewers, typists, stopped}...}. Changes at or below `seq` were published before. `statuses`
-- is an event with the changes of other users since ARGV 4, or nil. Of each room, `viewers` is an event with its
-- viewers, `typists` are the users who type, and `stopped` are those who have stopped since ARGV 4.
local p = people(ARGV[1], ARGV[2])
local found = {p.seq(), ARGV[4] ~= '' and p.missed(ARGV[4], ARGV[3])}
for i = 5, #ARGV do
  local room = ARGV[i]
  found[#found + 1] = {p.viewers_event(room), p.typists(room), ARGV[4] ~= '' and p.stopped(room, ARGV[4]) or {}}
end
return found
