-- Tells once more what the sockets of a replica may have missed while it did not hear.
--
-- KEYS  1 meta
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 seq up to which everything was heard
--       4.. conversations' rooms
-- Returns the ms after which a sweep is due, -1 where none is.
local p = people(ARGV[1], ARGV[2])
p.tell_again(ARGV[3], {unpack(ARGV, 4)})
return p.delay
