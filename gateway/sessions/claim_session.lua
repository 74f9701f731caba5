-- Claims a session for a socket that came back, and closes its old socket on any replica.
--
-- KEYS  1 meta  2 session  3 revoked  4 channel of the user's own room
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 epoch to begin with
--       4 ms that the session lives  5 ms that a lease runs  6 most sockets of a user, 0 for no limit  7 user
--       8 pid  9 token's id, or empty  10 Unix time in seconds at which it was issued
-- Returns {epoch, seq, session fields or nil, revoked fields, delay}; `seq` and `delay` are as in `open_session.lua`. A
-- session of another user is not claimed; then its only field is the user.
local p = people(ARGV[1], ARGV[2])
local epoch, id = p.reached(ARGV[3])
local revoked = redis.call('HGETALL', KEYS[3])
local owner, waits_until = unpack(redis.call('HMGET', KEYS[2], 'u', 'w'))
if not owner or (waits_until and tonumber(waits_until) <= p.ms) then return {epoch, id, false, revoked, -1} end
if owner ~= ARGV[7] then return {epoch, id, {'u', owner}, revoked, -1} end
local generation = redis.call('HINCRBY', KEYS[2], 'g', 1)
redis.call('HDEL', KEYS[2], 'w')
redis.call('PEXPIRE', KEYS[2], ARGV[4])
p.close_older(ARGV[7], ARGV[8], generation)
local fields = redis.call('HGETALL', KEYS[2])
if is_void(revoked, ARGV[9], tonumber(ARGV[10])) then return {epoch, id, fields, revoked, -1} end
local taken, rooms = {}, {}
for i = 1, #revoked, 2 do taken[revoked[i]] = tonumber(revoked[i + 1]) end
for i = 1, #fields, 2 do
  local room = string.match(fields[i], '^r:(.*)')
  if room and (taken[room] or 0) > tonumber(fields[i + 1]) then
    p.look_away(room, ARGV[8], ARGV[7])
  elseif room then
    rooms[#rooms + 1] = room
  end
end
p.enter(ARGV[8], ARGV[7], tonumber(ARGV[5]), rooms)
p.keep_to(tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[4])
return {epoch, id, fields, revoked, p.delay}
