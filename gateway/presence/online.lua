-- The users of one tenant who are online, and their sockets.
-- The keys are listed in `gateway/presence/keys.py`.
local MOST_AT_ONCE = 100 -- sockets and their rooms that are removed in one run, and tasks of one run

local function people(prefix, command)
  local p = tenant(prefix, command)
  with_viewers(p)
  with_typing(p)
  with_changes(p)

  local function sockets_of(user)
    return prefix .. 'sockets:' .. user
  end

  -- Publishes again what the sockets of a replica may have missed after `seq`.
  function p.tell_again(seq, rooms)
    p.tell_changes_again(seq)
    for _, room in ipairs(rooms) do
      p.tell_viewers(room)
      p.tell_typing_again(room, seq)
    end
  end

  -- Adds a socket that came, came back, or counted as gone.
  function p.enter(pid, user, lease_ms, rooms)
    local first = redis.call('ZRANGE', p.leases, 0, 0, 'WITHSCORES')[2]
    if not first then
      -- There was no lease that could run out, so the time without a sweep does not count as an outage of Redis.
      redis.call('HSET', p.meta, 'beat', digits(p.ms))
    elseif tonumber(first) <= p.ms then
      p.again(0)
    end
    redis.call('ZADD', p.leases, p.ms + lease_ms, pid .. ' ' .. user)
    p.keep(p.leases)
    redis.call('ZADD', sockets_of(user), p.us, pid)
    p.keep(sockets_of(user))
    if redis.call('ZADD', p.online, 'NX', p.us, user) == 1 then p.changed(user, 'online') end
    p.keep(p.online)
    p.keep(p.meta)
    for _, room in ipairs(rooms) do
      if conversation_of(room) then p.look_at(room, pid, user) end
    end
  end

  -- Removes a socket that is gone for good; returns the amount of work.
  function p.gone(pid, user)
    local session = prefix .. 'session:' .. pid
    local fields, may_come_back = redis.call('HKEYS', session), false
    redis.call('ZREM', p.leases, pid .. ' ' .. user)
    redis.call('ZREM', sockets_of(user), pid)
    for _, field in ipairs(fields) do
      local room = string.match(field, '^r:(conversation:.*)')
      if room then p.look_away(room, pid, user) end
      if field == 'u' then may_come_back = true end
    end
    if not may_come_back then redis.call('DEL', session) end
    if redis.call('EXISTS', sockets_of(user)) == 0 and redis.call('ZREM', p.online, user) == 1 then
      p.changed(user, 'offline')
    end
    return 1 + #fields
  end

  -- Notes that a socket is away; it counts as gone unless it comes back within `grace_ms`.
  function p.leave(pid, user, grace_ms)
    redis.call('ZADD', sockets_of(user), 'XX', -1, pid)
    redis.call('ZADD', p.leases, 'XX', p.ms + grace_ms, pid .. ' ' .. user)
    p.again(grace_ms)
  end

  -- Tells the replica of a socket to close it for good.
  local function evict(pid, user)
    p.control(user, '{"do":"evict","pid":"' .. pid .. '"}')
  end

  -- Evicts the oldest sockets of a user who has more than `most`. In place of each session, the key holds for `ms` that
  -- the socket has to go: its replica may not hear the message now, and must not let the socket push another one out.
  function p.keep_to(most, user, pid, ms)
    local over = most == 0 and 0 or redis.call('ZCOUNT', sockets_of(user), 0, '+inf') - most
    if over <= 0 then return end
    for _, oldest in ipairs(redis.call('ZRANGEBYSCORE', sockets_of(user), 0, '+inf', 'LIMIT', 0, over)) do
      if oldest ~= pid then
        local session = prefix .. 'session:' .. oldest
        p.gone(oldest, user)
        redis.call('DEL', session)
        redis.call('HSET', session, 'e', '1')
        redis.call('PEXPIRE', session, ms)
        evict(oldest, user)
      end
    end
  end

  -- Returns whether a socket has to go; then its replica, which does not know it yet, is told again.
  function p.has_to_go(pid, user)
    if not redis.call('HGET', prefix .. 'session:' .. pid, 'e') then return false end
    evict(pid, user)
    return true
  end

  -- Removes sockets whose lease has run out.
  local function see_off()
    local work, lease = 0, redis.call('ZRANGE', p.leases, 0, 0, 'WITHSCORES')
    while lease[1] and tonumber(lease[2]) <= p.ms and work < MOST_AT_ONCE do
      work = work + p.gone(string.match(lease[1], '(%S+) (.*)'))
      lease = redis.call('ZRANGE', p.leases, 0, 0, 'WITHSCORES')
    end
    if lease[1] then p.again(math.max(lease[2] - p.ms, 0)) end
  end

  -- Does the work that is due. A lease runs for `lease_ms`, and a socket may be away for `missed_ms`.
  function p.sweep(lease_ms, missed_ms)
    local last, spare = unpack(redis.call('HMGET', p.meta, 'beat', 'spare'))
    redis.call('HSET', p.meta, 'beat', digits(p.ms))
    if not last or p.ms - last > lease_ms / 2 then
      -- No replica has swept for that long, so Redis was down. The replicas need a moment to renew their leases.
      spare = digits(p.ms + lease_ms * 2 / 3)
      redis.call('HSET', p.meta, 'spare', spare)
    end
    if spare and tonumber(spare) > p.ms then p.again(spare - p.ms) else see_off() end
    for _, what in ipairs(redis.call('ZRANGEBYSCORE', p.due, '-inf', p.ms, 'LIMIT', 0, MOST_AT_ONCE)) do
      redis.call('ZREM', p.due, what)
      local room = string.match(what, '^typing (.*)')
      if room then p.stop_typing(room) else p.tell_viewers(what) end
    end
    local first_due = redis.call('ZRANGE', p.due, 0, 0, 'WITHSCORES')[2]
    if first_due then p.again(math.max(first_due - p.ms, 0)) end
    p.tell_changes()
    p.forget_changes(missed_ms)
    p.keep(p.meta)
  end

  return p
end
