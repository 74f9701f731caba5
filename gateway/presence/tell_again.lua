-- Publishes again the changes that a replica's sockets may have missed while its connection was down.
--
-- KEYS  1 meta
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 seq up to which the replica heard everything
--       4.. rooms of conversations
-- Returns the ms until a sweep is due, -1 for none.
local p = people(ARGV[1], ARGV[2])
p.tell_again(ARGV[3], {unpack(ARGV, 4)})
return p.delay
