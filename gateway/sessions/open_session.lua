-- Writes a whole session: at a connect, or again if Redis has lost it.
--
-- KEYS  1 meta  2 session  3 revoked
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 epoch to begin with  4 events kept of a room
--       5 ms that events are kept  6 ms that the session lives  7 ms that a lease runs
--       8 most sockets of a user, 0 for no limit  9 user  10 sid  11 pid  12 generation
--       13 why an earlier session was lost, or empty  14 token's id, or empty
--       15 Unix time in seconds at which it was issued  16 bytes of the largest event that sockets can get
--       17 seq at which the session was opened first, or empty  18 the stays that its socket remembers
--       19 ms for which all events are kept, up to  20 events and  21 bytes of a room
--       22.. room, seq of the join ('' for now) ...
-- Returns {epoch, seq, revoked fields, delay}. All messages so far are at or below `seq`, later ones above.
-- `delay` is the ms until a sweep is due, -1 for none. The session of a socket that has to go is not written.
local p = people(ARGV[1], ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'keep', 'ttl', 'max_event_bytes', 'brief', 'window', 'most', 'bytes')
local epoch, id = p.reached(ARGV[3])
if epoch == meta[1] and tonumber(meta[3] or 0) < tonumber(ARGV[5]) then
  -- Events up to now are kept for less time than later ones: an expired one must not look like silence.
  local ttl, until_seq, before = meta[3] or '0', string.match(meta[5] or '', '^(%d+) (%d+)$')
  if before and tonumber(until_seq) > tonumber(id) - ttl * 1000 then ttl = math.min(ttl, before) end
  redis.call('HSET', KEYS[1], 'brief', id .. ' ' .. ttl)
end
if meta[2] ~= ARGV[4] or meta[3] ~= ARGV[5] or meta[4] ~= ARGV[16] or meta[6] ~= ARGV[19] or meta[7] ~= ARGV[20]
  or meta[8] ~= ARGV[21] then
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
local rooms, is_in = {}, {}
for i = 22, #ARGV, 2 do
  rooms[#rooms + 1] = ARGV[i]
  is_in[ARGV[i]] = true
  fields[#fields + 1] = 'r:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1] == '' and id or ARGV[i + 1]
end
-- Rooms that the socket has left, if Redis has lost that.
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local room = string.match(field, '^r:(conversation:.*)')
  if room and not is_in[room] then
    p.stop_typing(room, ARGV[11])
    p.look_away(room, ARGV[11], ARGV[9])
  end
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('PEXPIRE', KEYS[2], ARGV[6])
if not is_void(revoked, ARGV[14], tonumber(ARGV[15])) then
  p.enter(ARGV[11], ARGV[9], tonumber(ARGV[7]), rooms)
  p.keep_to(tonumber(ARGV[8]), ARGV[9], ARGV[11], ARGV[6])
end
return {epoch, id, revoked, p.delay}
