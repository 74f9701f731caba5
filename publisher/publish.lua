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

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl')
local epoch = meta[1]
local now = redis.call('TIME')
local seq = now[1] * 1000000 + now[2]
if epoch then
  local last = tonumber(meta[2])
  if seq <= last then seq = last + 1 end
else
  epoch = ARGV[7]
end
-- %.0f: Lua would print a number this large as 1.8e+15.
local id = string.format('%.0f', seq)
local offset = epoch .. '-' .. id

-- Writes, though it changes nothing: a WAIT behind a retry must wait for the event's own write as well.
local function known_already(first)
  if meta[1] then redis.call('HSET', KEYS[1], 'seq', meta[2]) end
  return {1, first}
end

if once then
  if version == '' then
    local known = redis.call('SET', once, offset, 'NX', 'GET', 'PX', ARGV[10])
    if known then return known_already(string.match(known, '^%S+')) end
  else
    local known = redis.call('GET', once)
    if known then
      local first, last = string.match(known, '^(%S+) ?(%S*)$')
      if last == '' or tonumber(version) == tonumber(last) then return known_already(first) end
      if tonumber(version) < tonumber(last) then return {2, first} end
    end
    redis.call('SET', once, offset .. ' ' .. version, 'PX', ARGV[10])
  end
end

if meta[1] then
  redis.call('HSET', KEYS[1], 'seq', id)
else
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', id)
end

local keep = meta[3] or ARGV[8]
local ttl = tonumber(meta[4] or ARGV[9])
local age = math.max(1, math.floor(ttl / 4))

for i = 1, n do
  local previous = '0'
  if ARGV[3] == 'r' then
    local log = KEYS[1 + i]
    previous = redis.call('SET', KEYS[1 + n + i], id, 'PX', ttl, 'GET') or '0'
    if n == 1 and ARGV[4] == '-' then
      redis.call('XADD', log, 'MAXLEN', '~', keep, id .. '-0', 'd', ARGV[2], 'p', previous)
    else
      redis.call('XADD', log, 'MAXLEN', '~', keep, id .. '-0', 'd', ARGV[2], 'p', previous,
        'r', n > 1 and ARGV[5] or '', 's', ARGV[4])
    end
    -- Four times in its life is often enough to put a log's end off, and to trim what is too old by then.
    if math.floor(seq / 1000 / age) ~= math.floor(tonumber(previous) / 1000 / age) then
      redis.call('PEXPIRE', log, ttl + age)
      redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f', seq - ttl * 1000) .. '-0')
    end
  end
  redis.call(ARGV[6], KEYS[1 + 2 * n + i],
    offset .. ' ' .. previous .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. '\n' .. ARGV[2])
end
return {0, offset}
