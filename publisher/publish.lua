-- Publishes events of one tenant in order, each to one or more rooms, atomically, in one round trip.
--
-- KEYS  1 meta | lane (only with ARGV 1) | for each event: n logs | n channels | n tails |
--       n latest (only with a conflation key) | versions (only with a version) | once (only if recoverable)
-- ARGV  1 ms to remember the lane's number, empty without a lane  2 PUBLISH or SPUBLISH  3 epoch for a new tenant
--       4 newest events to keep per room  5 ms to keep events  6 ms to keep all events, at most  7 events and
--       8 bytes per room (4 to 8 only where meta has none)  9 ms to keep idempotency keys  10 ms to keep versions
--       for each event: 1 n  2 body ["event",data]  3 flag r|e  4 skip_sid or -  5 room names, space-separated
--       6 version or empty  7 conflation key or empty  8 traceparent or empty  9 the version's field or empty
--       10 number in the lane, or empty
-- Returns one list with status and offset of each event: status 0 published, 1 duplicate, 2 older than the last
-- version, 3 too large for gateways, with the limit as offset, 4 failed, with the error as offset. The list ends
-- at a failure: later events are not tried, so that none is published before the failed one.
local HEAD, SIZE = 10, 10
local EVERY = 16 -- events of a room, or 64 KiB of them, after which its log is trimmed
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl', 'window', 'most', 'bytes', 'max_event_bytes')
local epoch, last, largest = meta[1], meta[2], tonumber(meta[8])
local now = redis_time()
local keep, ttl = tonumber(meta[3] or ARGV[4]), tonumber(meta[4] or ARGV[5])
local window, most, most_bytes = (meta[5] or ARGV[6]) * 1000, tonumber(meta[6] or ARGV[7]), tonumber(meta[7] or ARGV[8])
local age = math.max(1, math.floor(ttl / 4))
local lane = ARGV[1] ~= '' and KEYS[2]
local taken = lane and tonumber(redis.call('GET', lane)) or 0

-- Each hash of versions is for a period, half of their lifetime. Returns the key of the hash `back` periods ago.
local function hash_of(versions, back)
  return versions .. ':' .. digits(math.floor(now / 1000 / (ARGV[10] / 2)) - back)
end

-- Returns the last version of a key, nil if none is remembered.
local function remembered(versions, field)
  for back = 0, 2 do
    local version = redis.call('HGET', hash_of(versions, back), field)
    if version then return version end
  end
end

local function remember(versions, field, version)
  local hash = hash_of(versions, 0)
  if redis.call('HSET', hash, field, version) == 1 and redis.call('HLEN', hash) == 1 then
    redis.call('PEXPIRE', hash, math.ceil(ARGV[10] * 1.5))
  end
end

-- Returns status and offset for an event whose key, or version of it, was published before; nil if it is new.
local function known(once, version, versions, field)
  local first, newest = string.match(once or '', '^(%S+) ?(%S*)$')
  if version == '' then
    if first then return 1, first end
    return
  end
  if not first then newest = remembered(versions, field) end
  if not newest or newest ~= '' and tonumber(version) > tonumber(newest) then return end
  return newest ~= '' and tonumber(version) < tonumber(newest) and 2 or 1, first or ''
end

-- Returns the seq of the event that the new one follows, and the seq of the event that it replaces: the room's
-- newest, if that has the same conflation key. A thousand conflated events must not push others out of the log,
-- nor be a gap for a client that missed them.
local function replaced(previous, latest, key)
  local seq, follows, known_key = string.match(latest or '', '^(%d+) (%d+) (.*)$')
  if seq ~= previous or known_key ~= key then return previous end
  return follows, seq
end

-- Trims a log and returns its remaining bytes. Removes events older than `ttl`, events older than the window but
-- not among the newest `keep`, and the oldest beyond the limits of number and bytes. Redis removes whole nodes.
local function trim(log, seq, bytes)
  local held = redis.call('XLEN', log)
  local left = held - redis.call('XTRIM', log, 'MINID', '~', digits(seq - ttl * 1000) .. '-0')
  if left > keep then
    left = left - redis.call('XTRIM', log, 'MINID', '~', digits(seq - window) .. '-0', 'LIMIT', left - keep)
  end
  local bound = bytes > most_bytes and math.floor(held * most_bytes / bytes) or math.max(most, keep)
  if left > bound then left = left - redis.call('XTRIM', log, 'MAXLEN', '~', bound) end
  return left == held and bytes or bytes * left / held
end

-- Returns the error of a command that failed, else nil; after an error, deletes the event from the first `n` logs.
local function failure(done, k, n, id)
  if type(done) ~= 'table' or not done.err then return end
  for i = 1, n do redis.call('XDEL', KEYS[k + i], id .. '-0') end
  return done.err
end

-- Publishes the event with arguments after `a` and keys after `k`. Returns an error if nothing was published.
local function publish(a, k, seq, id, read)
  local n, body, flag, skip = tonumber(ARGV[a + 1]), ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local conflate, trace = ARGV[a + 7], ARGV[a + 8]
  local offset = epoch .. '-' .. id
  local previous, bytes, since, gone = {}, {}, {}, {}
  if flag == 'r' then
    for i = 1, n do
      previous[i], bytes[i], since[i] = string.match(read[i] or '', '^(%d+) ?(%d*) ?(%d*)')
      previous[i] = previous[i] or '0'
      local follows = previous[i]
      -- A socket that does not get this event still needs the one before, which therefore stays.
      if conflate ~= '' and skip == '-' then follows, gone[i] = replaced(previous[i], read[n + i], conflate) end
      local fields = {'d', body, 'p', follows}
      if n > 1 or skip ~= '-' or conflate ~= '' then
        fields = {'d', body, 'p', follows, 'r', n > 1 and ARGV[a + 5] or '', 's', skip}
      end
      if conflate ~= '' then
        fields[9], fields[10] = 'c', conflate
        read[n + i] = id .. ' ' .. follows .. ' ' .. conflate
      end
      local err = failure(redis.pcall('XADD', KEYS[k + i], id .. '-0', unpack(fields)), k, i - 1, id)
      if err then return err end
    end
  end

  local header = flag .. ' ' .. skip
  if conflate ~= '' then header = header .. ' c=' .. conflate end
  if trace ~= '' then header = header .. ' t=' .. trace end
  for i = 1, n do
    local told = redis.pcall(ARGV[2], KEYS[k + n + i], message(offset, previous[i] or '0', header, body))
    -- After the first channel, the event is published: other rooms get it from their logs if their channel fails.
    local err = i == 1 and failure(told, k, flag == 'r' and n or 0, id)
    if err then return err end
  end
  if flag ~= 'r' then return end

  for i = 1, n do
    local log, size, looked = KEYS[k + i], tonumber(bytes[i]) or 0, (tonumber(since[i]) or 0) + 1 + #body / 4096
    if conflate ~= '' then redis.call('SET', KEYS[k + 3 * n + i], read[n + i], 'PX', ttl) end
    if gone[i] then redis.call('XDEL', log, gone[i] .. '-0') else size = size + #body end
    -- It is enough to extend a log's expiry, and to trim old events, four times per `ttl`.
    local later = math.floor(seq / 1000 / age) ~= math.floor(tonumber(previous[i]) / 1000 / age)
    if later then redis.call('PEXPIRE', log, ttl + age) end
    if later or looked >= EVERY then size, looked = trim(log, seq, size), 0 end
    redis.call('SET', KEYS[k + 2 * n + i], string.format('%s %.0f %.0f', id, size, looked), 'PX', ttl)
  end
end

local found, k, number = {}, lane and 2 or 1, nil
for a = HEAD, #ARGV - 1, SIZE do
  local n, version, conflate, field = tonumber(ARGV[a + 1]), ARGV[a + 6], ARGV[a + 7], ARGV[a + 9]
  local recoverable = ARGV[a + 3] == 'r'
  local size = (conflate == '' and 3 or 4) * n + (version == '' and 0 or 1) + (recoverable and 1 or 0)
  local once, versions = KEYS[k + size], version ~= '' and KEYS[k + size - 1]
  -- MGET reads a key of the wrong type as missing; it is overwritten below.
  local read = recoverable and redis.call('MGET', unpack(KEYS, k + 2 * n + 1, k + size)) or {}
  local status, said
  if recoverable then status, said = known(read[#read], version, versions, field) end
  if not status and largest and #ARGV[a + 2] > largest then status, said = 3, meta[8] end
  -- A lane's numbers come in order, so this one was taken before, at an attempt whose answer was lost.
  if not status and tonumber(ARGV[a + 10] or '') and tonumber(ARGV[a + 10]) <= taken then status, said = 1, '' end
  if status == 1 or status == 2 then
    -- This write changes nothing, but lets a WAIT after a retry also wait for the event's own write.
    if epoch then redis.call('HSET', KEYS[1], 'seq', last) end
  elseif not status then
    local seq = next_seq(now, last)
    last = digits(seq)
    -- The first write: a server that takes no writes, or has no memory, fails here and never later.
    if epoch then
      redis.call('HSET', KEYS[1], 'seq', last)
    else
      epoch = ARGV[3]
      redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', last)
    end
    said = publish(a, k, seq, last, read)
    status = said and 4 or 0
    if status == 0 then
      said = epoch .. '-' .. last
      if recoverable then
        redis.call('SET', once, version == '' and said or said .. ' ' .. version, 'PX', ARGV[9])
        if versions then remember(versions, field, version) end
      end
    end
  end
  found[#found + 1], found[#found + 2] = status, said
  if status == 4 then break end
  if status ~= 3 then number = tonumber(ARGV[a + 10]) or number end
  k = k + size
end
if lane and number and number > taken then redis.call('SET', lane, digits(number), 'PX', ARGV[1]) end
return found
