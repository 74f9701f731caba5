-- Tells who looks at some conversations, and who types there.
--
-- KEYS  1 meta
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3.. rooms
-- Returns for each room {event that names its viewers, typists}.
local p = people(ARGV[1], ARGV[2])
local found = {}
for i = 3, #ARGV do found[#found + 1] = {p.viewers_event(ARGV[i]), p.typists(ARGV[i])} end
return found
