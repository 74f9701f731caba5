-- Takes a session over for a socket that came back, and sends its old socket away, wherever that lives.
--
-- KEYS  1 meta  2 session  3 revoked  4 channel of the user's own room
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 epoch to begin with
--       4 ms the session lives  5 ms a socket counts as there  6 sockets a user may have, 0 for any  7 user
--       8 pid  9 token's id, or empty  10 Unix time in seconds at which it was issued
-- Returns {epoch, seq, session fields or nil, revoked fields, delay}, the last as at the opening of a session; a
-- session of another user stays untouched.
local p = people(ARGV[1], ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local seq = p.us
local epoch = meta[1]
if epoch then
  seq = math.max(seq, tonumber(meta[2]))
else
  epoch = ARGV[3]
end
local id = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', id)
local revoked = redis.call('HGETALL', KEYS[3])
local owner = redis.call('HGET', KEYS[2], 'u')
if not owner then return {epoch, id, false, revoked, -1} end
if owner ~= ARGV[7] then return {epoch, id, {'u', owner}, revoked, -1} end
local generation = redis.call('HINCRBY', KEYS[2], 'g', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call(ARGV[2], KEYS[4], epoch .. '-' .. id .. ' 0 c -\n{"do":"close","pid":"' .. ARGV[8] ..
  '","before":' .. generation .. '}')
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
