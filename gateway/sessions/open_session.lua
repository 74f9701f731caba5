-- Writes a whole session: at connect, or again when Redis has lost it.
--
-- KEYS  1 meta  2 session  3 revoked
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 epoch to begin with  4 events kept a room
--       5 ms kept  6 ms the session lives  7 ms a socket counts as there  8 sockets a user may have, 0 for any
--       9 user  10 sid  11 pid  12 generation  13 why an earlier session was lost, or empty
--       14 token's id, or empty  15 Unix time in seconds at which it was issued
--       16 bytes of the largest event that sockets can be given
--       17 seq at which the session was opened first, or empty  18 the stays that its socket remembers
--       19 ms of which all events are kept, up to  20 events and  21 bytes a room
--       22.. room, joined at ('' for now) ...
-- Returns {epoch, seq, revoked fields, delay}: everything published so far is at or below seq, everything later
-- above. `delay` ms later a sweep is due (-1: none). The session of a socket that was one too many is not written again.
local p = people(ARGV[1], ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl', 'max_event_bytes', 'brief',
  'window', 'most', 'bytes')
local seq = p.us
local epoch = meta[1]
if epoch then
  seq = math.max(seq, tonumber(meta[2]))
else
  epoch = ARGV[3]
end
local id = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', id)
if epoch == meta[1] and tonumber(meta[4] or 0) < tonumber(ARGV[5]) then
  -- Events up to now are kept for less than those that come: that one has expired must not look like silence.
  local ttl, until_seq, before = meta[4] or '0', string.match(meta[6] or '', '^(%d+) (%d+)$')
  if before and tonumber(until_seq) > seq - ttl * 1000 then ttl = math.min(ttl, before) end
  redis.call('HSET', KEYS[1], 'brief', id .. ' ' .. ttl)
end
if meta[3] ~= ARGV[4] or meta[4] ~= ARGV[5] or meta[5] ~= ARGV[16] or meta[7] ~= ARGV[19] or meta[8] ~= ARGV[20]
  or meta[9] ~= ARGV[21] then
  redis.call('HSET', KEYS[1], 'keep', ARGV[4], 'ttl', ARGV[5], 'max_event_bytes', ARGV[16], 'window', ARGV[19],
    'most', ARGV[20], 'bytes', ARGV[21])
end
local revoked = redis.call('HGETALL', KEYS[3])
if p.has_to_go(ARGV[11], ARGV[9]) then return {epoch, id, revoked, -1} end
local fields = {'u', ARGV[9], 's', ARGV[10], 'g', ARGV[12], 'at', ARGV[17] ~= '' and ARGV[17] or id}
if ARGV[18] ~= '' then
  fields[#fields + 1] = 'p'
  fields[#fields + 1] = ARGV[18]
end
if ARGV[13] ~= '' then
  fields[#fields + 1] = 'l'
  fields[#fields + 1] = ARGV[13]
end
local rooms = {}
for i = 22, #ARGV, 2 do
  rooms[#rooms + 1] = ARGV[i]
  fields[#fields + 1] = 'r:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1] == '' and id or ARGV[i + 1]
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('PEXPIRE', KEYS[2], ARGV[6])
if not is_void(revoked, ARGV[14], tonumber(ARGV[15])) then
  p.enter(ARGV[11], ARGV[9], tonumber(ARGV[7]), rooms)
  p.keep_to(tonumber(ARGV[8]), ARGV[9], ARGV[11], ARGV[6])
end
return {epoch, id, revoked, p.delay}
