-- Publishes an event, or several, each to one or more rooms of one tenant, atomically, in one round trip.
--
-- KEYS  1 meta | of each event: n logs | n tails | n channels | n latest (only with a conflation key) |
--       once (only of a recoverable one)
-- ARGV  of each event: 1 n  2 body ["event",data]  3 flag r|e  4 skip_sid or -  5 room names, space-separated
--       6 PUBLISH or SPUBLISH  7 epoch to begin with  8 events kept a room  9 ms kept
--       10 ms that the idempotency key holds  11 version or empty  12 conflation key or empty  13 traceparent or empty
-- Returns {status, offset} of each, in one list: status 0 published, 1 duplicate, 2 older than the last version.
local SIZE = 13
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl')
local epoch, last = meta[1], meta[2]
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]

-- Gives status and offset of what was published under an idempotency key; nothing when this event is the first.
local function known(once, offset, version, ms)
  local first, newest
  if version == '' then
    first = redis.call('SET', once, offset, 'NX', 'GET', 'PX', ms)
    if not first then return end
    first = string.match(first, '^%S+')
  else
    first, newest = string.match(redis.call('GET', once) or '', '^(%S+) ?(%S*)$')
    if not first or newest ~= '' and tonumber(version) > tonumber(newest) then
      redis.call('SET', once, offset .. ' ' .. version, 'PX', ms)
      return
    end
    if newest ~= '' and tonumber(version) < tonumber(newest) then return 2, first end
  end
  -- Writes, though it changes nothing: a WAIT behind a retry must wait for the event's own write as well.
  if epoch then redis.call('HSET', KEYS[1], 'seq', last) end
  return 1, first
end

-- Takes a room's newest event out of its log if it has the same conflation key: a thousand of them must not push out
-- everything else, nor be a hole to whoever missed them. Gives the seq of the event that the new one follows then.
local function replace(log, previous, latest, key)
  local seq, follows, known = string.match(redis.call('GET', latest) or '', '^(%d+) (%d+) (.*)$')
  if seq ~= previous or known ~= key then return previous end
  redis.call('XDEL', log, seq .. '-0')
  return follows
end

local found, k = {}, 1
for a = 0, #ARGV - 1, SIZE do
  local n, body, skip, conflate = tonumber(ARGV[a + 1]), ARGV[a + 2], ARGV[a + 4], ARGV[a + 12]
  local recoverable = ARGV[a + 3] == 'r'
  local keys = (conflate == '' and 3 or 4) * n + (recoverable and 1 or 0)
  local seq = now
  if epoch and seq <= tonumber(last) then seq = tonumber(last) + 1 end
  -- %.0f: Lua would print a number this large as 1.8e+15.
  local id = string.format('%.0f', seq)
  local offset = (epoch or ARGV[a + 7]) .. '-' .. id
  local status, first
  if recoverable then status, first = known(KEYS[k + keys], offset, ARGV[a + 11], ARGV[a + 10]) end
  found[#found + 1], found[#found + 2] = status or 0, first or offset

  if not status then
    if epoch then
      redis.call('HSET', KEYS[1], 'seq', id)
    else
      epoch = ARGV[a + 7]
      redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', id)
    end
    last = id

    local keep = meta[3] or ARGV[a + 8]
    local ttl = tonumber(meta[4] or ARGV[a + 9])
    local age = math.max(1, math.floor(ttl / 4))
    local rest = ' ' .. ARGV[a + 3] .. ' ' .. skip
    if conflate ~= '' then rest = rest .. ' c=' .. conflate end
    if ARGV[a + 13] ~= '' then rest = rest .. ' t=' .. ARGV[a + 13] end
    rest = rest .. '\n' .. body

    for i = 1, n do
      local previous = '0'
      if recoverable then
        local log = KEYS[k + i]
        previous = redis.call('SET', KEYS[k + n + i], id, 'PX', ttl, 'GET') or '0'
        if conflate ~= '' then
          local latest = KEYS[k + 3 * n + i]
          -- Who is left out of this one is still owed the one before.
          local follows = skip == '-' and replace(log, previous, latest, conflate) or previous
          redis.call('SET', latest, id .. ' ' .. follows .. ' ' .. conflate, 'PX', ttl)
          redis.call('XADD', log, 'MAXLEN', '~', keep, id .. '-0', 'd', body, 'p', follows,
            'r', n > 1 and ARGV[a + 5] or '', 's', skip, 'c', conflate)
        elseif n == 1 and skip == '-' then
          redis.call('XADD', log, 'MAXLEN', '~', keep, id .. '-0', 'd', body, 'p', previous)
        else
          redis.call('XADD', log, 'MAXLEN', '~', keep, id .. '-0', 'd', body, 'p', previous,
            'r', n > 1 and ARGV[a + 5] or '', 's', skip)
        end
        -- Four times in its life is often enough to put a log's end off, and to trim what is too old by then.
        if math.floor(seq / 1000 / age) ~= math.floor(tonumber(previous) / 1000 / age) then
          redis.call('PEXPIRE', log, ttl + age)
          redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f', seq - ttl * 1000) .. '-0')
        end
      end
      redis.call(ARGV[a + 6], KEYS[k + 2 * n + i], offset .. ' ' .. previous .. rest)
    end
  end
  k = k + keys
end
return found
