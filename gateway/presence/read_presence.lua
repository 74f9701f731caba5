-- Tells a socket who looks at its conversations and who types there, and what it missed.
--
-- KEYS  1 meta
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 user  4 seq that the socket has, or empty
--       5.. rooms
-- Returns {seq, statuses, {viewers, typists, stopped}...}: everything told at or below seq came before; an event that
-- says who came and went since it had that seq, or nil; for each room an event that names who looks at it, who types
-- there, and who has stopped since.
local p = people(ARGV[1], ARGV[2])
local found = {p.seq(), ARGV[4] ~= '' and p.missed(ARGV[4], ARGV[3])}
for i = 5, #ARGV do
  local room = ARGV[i]
  found[#found + 1] = {p.viewers_event(room), p.typists(room), ARGV[4] ~= '' and p.stopped(room, ARGV[4]) or {}}
end
return found
