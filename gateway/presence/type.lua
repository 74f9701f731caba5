-- Notes that a socket's user types in a conversation, or stopped, and tells it when that is news.
--
-- KEYS  1 meta
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 conversation's room  4 pid  5 user
--       6 sid or @user that need not hear of it  7 ms after which it ends by itself, 0 when it has stopped
-- Returns the ms after which a sweep is due, -1 where none is.
local p = people(ARGV[1], ARGV[2])
if ARGV[7] == '0' then
  p.stop_typing(ARGV[3], ARGV[4])
else
  p.type(ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]))
end
return p.delay
