-- Publishes events of one tenant in order, each to one or more rooms, atomically, in one round trip.
--
-- KEYS  1 meta | lane (only where ARGV 1 says how long it holds) | of each event: n logs | n channels | n tails |
--       n latest (only with a conflation key) | versions (only with a version) | once (only of a recoverable one)
-- ARGV  1 ms that the lane's number holds, empty for no lane  2 PUBLISH or SPUBLISH  3 epoch to begin with
--       4 events kept a room  5 ms kept  6 ms of which all is kept, up to  7 events and  8 bytes a room
--       9 ms that an idempotency key holds  10 ms that a version is remembered
--       of each event: 1 n  2 body ["event",data]  3 flag r|e  4 skip_sid or -  5 room names, space-separated
--       6 version or empty  7 conflation key or empty  8 traceparent or empty  9 the version's field or empty
--       10 number in the lane, or empty
-- Returns {status, offset} of each, in one list: status 0 published, 1 duplicate, 2 older than the last version,
-- 3 larger than gateways hand out, with how large it may be, 4 failed, with the error. None comes behind a failure:
-- what follows it was not looked at, so that it can't go out before it.
local HEAD, SIZE = 10, 10
local EVERY = 16 -- events of a room, or 64 KiB of them, after which its log is trimmed
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'keep', 'ttl', 'window', 'most', 'bytes', 'max_event_bytes')
local epoch, last, largest = meta[1], meta[2], tonumber(meta[8])
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local keep, ttl = tonumber(meta[3] or ARGV[4]), tonumber(meta[4] or ARGV[5])
local window, most, most_bytes = (meta[5] or ARGV[6]) * 1000, tonumber(meta[6] or ARGV[7]), tonumber(meta[7] or ARGV[8])
local age = math.max(1, math.floor(ttl / 4))
local lane = ARGV[1] ~= '' and KEYS[2]
local taken = lane and tonumber(redis.call('GET', lane)) or 0

-- Versions are remembered in a few hashes, each for half the time that they must be. Names the one of `back` before.
local function hash_of(versions, back)
  return versions .. ':' .. string.format('%.0f', math.floor(now / 1000 / (ARGV[10] / 2)) - back)
end

-- Returns the last version of a key, nothing where none is remembered.
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

-- Returns status and offset of what was published under an idempotency key; nothing when this event is the first.
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

-- Returns the seq of the event that the new one follows, and the one that it takes the place of: a room's newest if
-- it has the same conflation key. A thousand of them must not push out everything else, nor be a hole to whoever
-- missed them.
local function replaced(previous, latest, key)
  local seq, follows, known_key = string.match(latest or '', '^(%d+) (%d+) (.*)$')
  if seq ~= previous or known_key ~= key then return previous end
  return follows, seq
end

-- Takes out of a log what need not be kept, and gives the bytes that are left: all that is older than the window
-- but the newest `keep`, and the oldest where there are too many or too large ones. Whole nodes go at once.
local function trim(log, seq, bytes)
  local held = redis.call('XLEN', log)
  local left = held - redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f-0', seq - ttl * 1000))
  if left > keep then
    local oldest = string.format('%.0f-0', seq - window)
    left = left - redis.call('XTRIM', log, 'MINID', '~', oldest, 'LIMIT', left - keep)
  end
  local bound = bytes > most_bytes and math.floor(held * most_bytes / bytes) or math.max(most, keep)
  if left > bound then left = left - redis.call('XTRIM', log, 'MAXLEN', '~', bound) end
  return left == held and bytes or bytes * left / held
end

-- Returns the error of a command that may fail, where it did, and takes the event out of the first `n` logs then.
local function failure(done, k, n, id)
  if type(done) ~= 'table' or not done.err then return end
  for i = 1, n do redis.call('XDEL', KEYS[k + i], id .. '-0') end
  return done.err
end

-- Publishes event `a`, whose keys are behind `k`. Returns the error where that failed: then nothing was published.
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
      -- Who is left out of this one is still owed the one before.
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

  local rest = ' ' .. flag .. ' ' .. skip
  if conflate ~= '' then rest = rest .. ' c=' .. conflate end
  if trace ~= '' then rest = rest .. ' t=' .. trace end
  rest = rest .. '\n' .. body
  for i = 1, n do
    local message = offset .. ' ' .. (previous[i] or '0') .. rest
    local told = redis.pcall(ARGV[2], KEYS[k + n + i], message)
    -- Once a room was told, the event is out, and the others hear of it from their logs.
    local err = i == 1 and failure(told, k, flag == 'r' and n or 0, id)
    if err then return err end
  end
  if flag ~= 'r' then return end

  for i = 1, n do
    local log, size, looked = KEYS[k + i], tonumber(bytes[i]) or 0, (tonumber(since[i]) or 0) + 1 + #body / 4096
    if conflate ~= '' then redis.call('SET', KEYS[k + 3 * n + i], read[n + i], 'PX', ttl) end
    if gone[i] then redis.call('XDEL', log, gone[i] .. '-0') else size = size + #body end
    -- Four times in its life is often enough to put a log's end off, and to trim what is too old by then.
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
  -- What is none of its own kind is read as nothing here, and written over.
  local read = recoverable and redis.call('MGET', unpack(KEYS, k + 2 * n + 1, k + size)) or {}
  local status, said
  if recoverable then status, said = known(read[#read], version, versions, field) end
  if not status and largest and #ARGV[a + 2] > largest then status, said = 3, meta[8] end
  -- Taken already, at an attempt whose answer was lost, as everything of a lane comes in its order.
  if not status and tonumber(ARGV[a + 10] or '') and tonumber(ARGV[a + 10]) <= taken then status, said = 1, '' end
  if status == 1 or status == 2 then
    -- Writes, though it changes nothing: a WAIT behind a retry must wait for the event's own write as well.
    if epoch then redis.call('HSET', KEYS[1], 'seq', last) end
  elseif not status then
    local seq = now
    if epoch and seq <= tonumber(last) then seq = tonumber(last) + 1 end
    -- %.0f: Lua would print a number this large as 1.8e+15.
    last = string.format('%.0f', seq)
    -- The first write: a server that takes none, or has no memory, says so here and never later.
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
if lane and number and number > taken then redis.call('SET', lane, string.format('%.0f', number), 'PX', ARGV[1]) end
return found
