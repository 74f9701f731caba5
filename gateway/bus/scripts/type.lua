-- Notes that a user types in a conversation, or stopped, and tells it when that is news.
--
-- KEYS  1 meta
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 conversation's room  4 user
--       5 sid or @user that need not hear of it  6 ms after which it ends by itself, 0 when it has stopped
-- Returns the ms after which a sweep is due, -1 where none is.
local p = people(ARGV[1], ARGV[2])
if ARGV[6] == '0' then
  p.stop_typing(ARGV[3], ARGV[4], ARGV[5])
else
  p.type(ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]))
end
return p.delay
