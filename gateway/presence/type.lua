-- Notes that a socket's user types in a conversation or has stopped, and publishes it if that is new.
--
-- KEYS  1 meta
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 room of the conversation  4 pid  5 user
--       6 sid or @user that does not get the event  7 ms after which the typing ends by itself, 0 if it has stopped
-- Returns the ms until a sweep is due, -1 for none.
local p = people(ARGV[1], ARGV[2])
if ARGV[7] == '0' then
  p.stop_typing(ARGV[3], ARGV[4])
else
  p.type(ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]))
end
return p.delay
