-- Publishes one event to one or more rooms of one tenant, atomically, in one round trip.
--
-- KEYS  1 meta | n logs | n tails | n channels | once (only with an idempotency key)
-- ARGV  1 n  2 body ["event",data]  3 flag r|e  4 skip_sid or -  5 room names, space-separated
--       6 PUBLISH or SPUBLISH  7 epoch to begin with  8 events kept a room  9 ms kept
--       10 ms that the idempotency key holds  11 version or empty
-- Returns {status, offset}: status 0 published, 1 duplicate, 2 older than the last version.
local n = tonumber(ARGV[1])
local once = KEYS[3 * n + 2]
local version = ARGV[11]

if once then
  local known = redis.call('GET', once)
  if known then
    local offset, last = string.match(known, '^(%S+) ?(%S*)$')
    if version == '' or last == '' or tonumber(version) == tonumber(last) then
      return {1, offset}
    end
    if tonumber(version) < tonumber(last) then
      return {2, offset}
    end
  end
end

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl')
local epoch = meta[1]
local now = redis.call('TIME')
local seq = now[1] * 1000000 + now[2]
if epoch then
  local last = tonumber(meta[2])
  if seq <= last then seq = last + 1 end
else
  epoch = ARGV[7]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
-- %.0f: Lua would print a number this large as 1.8e+15.
local id = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'seq', id)

local offset = epoch .. '-' .. id
local keep = meta[3] or ARGV[8]
local ttl = meta[4] or ARGV[9]

for i = 1, n do
  local previous = '0'
  if ARGV[3] == 'r' then
    local log = KEYS[1 + i]
    previous = redis.call('SET', KEYS[1 + n + i], id, 'PX', ttl, 'GET') or '0'
    local fields = {'d', ARGV[2], 'p', previous}
    if n > 1 then fields[#fields + 1] = 'r'; fields[#fields + 1] = ARGV[5] end
    if ARGV[4] ~= '-' then fields[#fields + 1] = 's'; fields[#fields + 1] = ARGV[4] end
    redis.call('XADD', log, 'MAXLEN', '~', keep, id .. '-0', unpack(fields))
    redis.call('PEXPIRE', log, ttl)
    -- Age is trimmed now and then: an entry that outlives its time by a few events harms nobody.
    if seq % 16 == 0 then
      redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f', seq - ttl * 1000) .. '-0')
    end
  end
  redis.call(ARGV[6], KEYS[1 + 2 * n + i],
    offset .. ' ' .. previous .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. '\n' .. ARGV[2])
end

if once then
  redis.call('SET', once, offset .. (version ~= '' and ' ' .. version or ''), 'PX', ARGV[10])
end
return {0, offset}
