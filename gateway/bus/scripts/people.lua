-- Who is there: presence, viewers of conversations, and typing, of one tenant. This stands before the scripts
-- that change or read them; all keys are made from `prefix`, which is "rt:{tenant}:".
--
--   leases           zset  "<pid> <user>" -> ms at which the socket counts as gone
--   sockets:<user>   zset  pid -> us at which it came, -1 once it has gone and may still come back
--   online           zset  users who are online -> us since when
--   changes          zset  user -> seq of the last change, for sockets that come back
--   pending          zset  users whose change is still to be told
--   viewers:<room>   zset  "<pid> <user>" -> us since when
--   typing:<room>    zset  user -> ms at which it ends by itself
--   due              zset  room whose viewers are to be told, or "typing <room>" -> ms at which to look
--
-- What is told is ephemeral. A tenant's changes are told one by one while they are few, and together, so many at a
-- time, when they are many: 5,000 users who come at once must not be 25 million events. The larger the tenant, the
-- longer the pauses, as each event goes to all of it.
local TOLD_ONE_BY_ONE = 5 -- changes within a pause
local TOLD_TOGETHER = 200 -- users named in one event
local CROWD = 1000 -- users online for each second of pause
local VIEWERS_PAUSE_MS = 500
local MOST_SHOWN = 50 -- viewers named in an event
local MOST_LOOKED_AT = 200 -- sockets of a room that are looked at to name them
local MOST_AT_ONCE = 100 -- sockets seen off in one run
local KEPT_MS = 86400000 -- keys of a tenant that nobody comes to any more

local function people(prefix, command)
  local time = redis.call('TIME')
  local p = {us = time[1] * 1000000 + time[2], delay = -1}
  p.ms = math.floor(p.us / 1000)
  local meta, leases, online = prefix .. 'meta', prefix .. 'leases', prefix .. 'online'
  local changes, pending, due = prefix .. 'changes', prefix .. 'pending', prefix .. 'due'
  local tenant = string.match(prefix, '{(.*)}')

  -- Asks to be called again in `ms`.
  local function again(ms)
    if p.delay < 0 or ms < p.delay then p.delay = ms end
  end

  local function publish(room, skip, body)
    local known = redis.call('HMGET', meta, 'epoch', 'seq')
    if not known[1] then return end
    local seq = math.max(p.us, tonumber(known[2]) + 1)
    local id = string.format('%.0f', seq)
    redis.call('HSET', meta, 'seq', id)
    redis.call(command, prefix .. 'room:' .. room, known[1] .. '-' .. id .. ' 0 e ' .. skip .. '\n' .. body)
  end

  local function quoted(names)
    if #names == 0 then return '[]' end
    return '["' .. table.concat(names, '","') .. '"]'
  end

  -- Users

  local function pause_ms()
    return math.floor(1000 * math.max(1, redis.call('ZCARD', online) / CROWD))
  end

  local function status(user, word, skip)
    local seq = redis.call('HGET', meta, 'seq')
    redis.call('ZADD', changes, math.max(p.us, tonumber(seq or 0)), user)
    redis.call('PEXPIRE', changes, KEPT_MS)
    local rate = prefix .. 'rate'
    local told = redis.call('INCR', rate)
    if told == 1 then redis.call('PEXPIRE', rate, pause_ms()) end
    if told <= TOLD_ONE_BY_ONE then
      publish('organization:' .. tenant, skip,
        '["user:status",{"user_id":"' .. user .. '","status":"' .. word .. '"}]')
    else
      redis.call('ZADD', pending, p.us, user)
      redis.call('PEXPIRE', pending, KEPT_MS)
      again(pause_ms())
    end
  end

  -- Gives those of some users who are online and those who are not, as an object for an event.
  local function split(users)
    local here, away = {}, {}
    for _, user in ipairs(users) do
      local list = redis.call('ZSCORE', online, user) and here or away
      list[#list + 1] = user
    end
    return '{"online":' .. quoted(here) .. ',"offline":' .. quoted(away) .. '}'
  end

  -- Viewers

  -- Gives the users who look at a room, and how many sockets there are; forgets sockets that are gone.
  function p.viewers(room)
    local key = prefix .. 'viewers:' .. room
    local users, seen = {}, {}
    for _, viewer in ipairs(redis.call('ZRANGE', key, 0, MOST_LOOKED_AT - 1)) do
      local user = string.match(viewer, ' (.*)')
      if not redis.call('ZSCORE', leases, viewer) then
        redis.call('ZREM', key, viewer)
      elseif not seen[user] then
        seen[user] = true
        if #users < MOST_SHOWN then users[#users + 1] = user end
      end
    end
    return users, redis.call('ZCARD', key)
  end

  function p.viewers_event(room)
    local users, sockets = p.viewers(room)
    return '["conversation:viewers",{"conversation_id":"' .. string.sub(room, 14) ..
      '","user_ids":' .. quoted(users) .. ',"sockets":' .. sockets .. '}]'
  end

  local function tell_viewers(room)
    if redis.call('SET', prefix .. 'told:' .. room, 1, 'NX', 'PX', VIEWERS_PAUSE_MS) then
      publish(room, '-', p.viewers_event(room))
    else
      redis.call('ZADD', due, 'NX', p.ms + VIEWERS_PAUSE_MS, room)
      redis.call('PEXPIRE', due, KEPT_MS)
      again(VIEWERS_PAUSE_MS)
    end
  end

  local function looks_elsewhere_too(key, viewer)
    local user = string.match(viewer, ' .*')
    for _, other in ipairs(redis.call('ZRANGE', key, 0, MOST_LOOKED_AT - 1)) do
      if other ~= viewer and string.sub(other, -#user) == user then return true end
    end
    return false
  end

  function p.look_at(room, pid, user)
    local key, viewer = prefix .. 'viewers:' .. room, pid .. ' ' .. user
    if redis.call('ZADD', key, 'NX', p.us, viewer) == 0 then return end
    redis.call('PEXPIRE', key, KEPT_MS)
    if not looks_elsewhere_too(key, viewer) then tell_viewers(room) end
  end

  function p.look_away(room, pid, user)
    local key, viewer = prefix .. 'viewers:' .. room, pid .. ' ' .. user
    if redis.call('ZREM', key, viewer) == 0 then return end
    if not looks_elsewhere_too(key, viewer) then tell_viewers(room) end
  end

  -- Typing

  local function tell_typing(room, user, skip, typing)
    publish(room, skip, '["user_typing",{"conversation_id":"' .. string.sub(room, 14) .. '","user_id":"' ..
      user .. '","typing":' .. typing .. '}]')
  end

  function p.type(room, user, skip, ends_in_ms)
    local key = prefix .. 'typing:' .. room
    local ends = redis.call('ZSCORE', key, user)
    redis.call('ZADD', key, p.ms + ends_in_ms, user)
    redis.call('PEXPIRE', key, KEPT_MS)
    redis.call('ZADD', due, p.ms + ends_in_ms, 'typing ' .. room)
    redis.call('PEXPIRE', due, KEPT_MS)
    again(ends_in_ms)
    if not ends or tonumber(ends) <= p.ms then tell_typing(room, user, skip, 'true') end
  end

  function p.stop_typing(room, user, skip)
    if redis.call('ZREM', prefix .. 'typing:' .. room, user) == 1 then tell_typing(room, user, skip, 'false') end
  end

  function p.typists(room)
    return redis.call('ZRANGEBYSCORE', prefix .. 'typing:' .. room, p.ms, '+inf')
  end

  local function end_typing(room)
    local key = prefix .. 'typing:' .. room
    for _, user in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', p.ms)) do
      redis.call('ZREM', key, user)
      tell_typing(room, user, '@' .. user, 'false')
    end
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] then
      redis.call('ZADD', due, first[2], 'typing ' .. room)
      again(first[2] - p.ms)
    end
  end

  -- Sockets

  -- A socket is there: it came, came back, or its replica says that it lives.
  function p.enter(pid, user, sid, lease_ms, rooms)
    redis.call('ZADD', leases, p.ms + lease_ms, pid .. ' ' .. user)
    redis.call('PEXPIRE', leases, KEPT_MS)
    redis.call('ZADD', prefix .. 'sockets:' .. user, p.us, pid)
    redis.call('PEXPIRE', prefix .. 'sockets:' .. user, KEPT_MS)
    if redis.call('ZADD', online, 'NX', p.us, user) == 1 then status(user, 'online', sid) end
    redis.call('PEXPIRE', online, KEPT_MS)
    for _, room in ipairs(rooms) do
      if string.sub(room, 1, 13) == 'conversation:' then p.look_at(room, pid, user) end
    end
  end

  -- A socket is gone for good.
  function p.gone(pid, user)
    redis.call('ZREM', leases, pid .. ' ' .. user)
    redis.call('ZREM', prefix .. 'sockets:' .. user, pid)
    for _, field in ipairs(redis.call('HKEYS', prefix .. 'session:' .. pid)) do
      if string.sub(field, 1, 15) == 'r:conversation:' then p.look_away(string.sub(field, 3), pid, user) end
    end
    if redis.call('EXISTS', prefix .. 'sockets:' .. user) == 0 and redis.call('ZREM', online, user) == 1 then
      status(user, 'offline', '-')
    end
  end

  -- A socket is away, and gone unless it comes back in time.
  function p.leave(pid, user, grace_ms)
    redis.call('ZADD', prefix .. 'sockets:' .. user, 'XX', -1, pid)
    redis.call('ZADD', leases, 'XX', p.ms + grace_ms, pid .. ' ' .. user)
    again(grace_ms)
  end

  -- Sends the oldest of too many sockets of a user away for good.
  function p.keep_to(most, user, pid)
    local key = prefix .. 'sockets:' .. user
    local over = redis.call('ZCOUNT', key, 0, '+inf') - most
    if most == 0 or over <= 0 then return end
    local known = redis.call('HMGET', meta, 'epoch', 'seq')
    for _, oldest in ipairs(redis.call('ZRANGEBYSCORE', key, 0, '+inf', 'LIMIT', 0, over)) do
      if oldest ~= pid then
        p.gone(oldest, user)
        redis.call('DEL', prefix .. 'session:' .. oldest)
        redis.call(command, prefix .. 'room:user:' .. user,
          known[1] .. '-' .. known[2] .. ' 0 c -\n{"do":"evict","pid":"' .. oldest .. '"}')
      end
    end
  end

  -- Does what has become due; `lease_ms` is how long a lease runs.
  function p.sweep(lease_ms)
    -- When no replica has called for so long, Redis was away, and leases ran out that nobody could renew.
    local last = redis.call('HGET', meta, 'beat')
    redis.call('HSET', meta, 'beat', string.format('%.0f', p.ms))
    local ended = redis.call('ZRANGEBYSCORE', leases, '-inf', p.ms, 'LIMIT', 0, MOST_AT_ONCE)
    local were_away = not last or p.ms - last > lease_ms / 2
    for _, lease in ipairs(ended) do
      if were_away then
        redis.call('ZADD', leases, p.ms + lease_ms, lease)
      else
        p.gone(string.match(lease, '(%S+) (.*)'))
      end
    end
    for _, what in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', p.ms, 'LIMIT', 0, MOST_AT_ONCE)) do
      redis.call('ZREM', due, what)
      if string.sub(what, 1, 7) == 'typing ' then end_typing(string.sub(what, 8)) else tell_viewers(what) end
    end
    if redis.call('EXISTS', pending) == 1 then
      local pause = pause_ms()
      if redis.call('SET', prefix .. 'told', 1, 'NX', 'PX', pause - 50) then
        local users = redis.call('ZRANGE', pending, 0, TOLD_TOGETHER - 1)
        redis.call('ZREM', pending, unpack(users))
        publish('organization:' .. tenant, '-', '["user:statuses",' .. split(users) .. ']')
      end
      again(pause)
    end
    if #ended == MOST_AT_ONCE then again(0) end
    local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
    if first[2] then again(math.max(first[2] - p.ms, 0)) end
  end

  -- Gives the event that brings a socket of `own` up to date which heard nothing after `seq`, or false.
  function p.missed(seq, own)
    local users = {}
    for _, user in ipairs(redis.call('ZRANGEBYSCORE', changes, '(' .. seq, '+inf')) do
      if user ~= own then users[#users + 1] = user end
    end
    return #users > 0 and '["user:statuses",' .. split(users) .. ']'
  end

  return p
end

