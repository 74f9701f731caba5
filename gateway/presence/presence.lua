-- The users of one tenant who are online, and their sockets.
-- The keys are listed in `gateway/presence/keys.py`.
--
-- A few changes of a tenant are published one by one, and many are published together, for many users in one event:
-- 5,000 users who come at once must not cause 25 million events. The larger the tenant, the longer the pauses, because
-- each event goes to all of its users.
local TOLD_ONE_BY_ONE = 5 -- changes within a pause
local TOLD_TOGETHER = 200 -- users named in one event
local MOST_WAITING = 10000 -- users whose change waits; beyond that the oldest changes are never published
local REMEMBERED = 1000 -- changes that are kept at any age, for replicas that were away for long
local FORGOTTEN_AT_ONCE = 10000 -- changes: some 2 ms
local MOST_AT_ONCE = 100 -- sockets and their rooms that are removed in one run, and tasks of one run
local AT_A_TIME = 1000 -- arguments of one call

local function people(prefix, command)
  local p = tenant(prefix, command)
  with_viewers(p)
  with_typing(p)
  local changes, pending = prefix .. 'changes', prefix .. 'pending'

  local function sockets_of(user)
    return prefix .. 'sockets:' .. user
  end

  -- Users

  local function pause_ms()
    return math.floor(1000 * math.max(1, redis.call('ZCARD', p.online) / CROWD))
  end

  local function tell_together(users)
    for i = 1, #users do redis.call('ZADD', pending, p.us, users[i]) end
    local over = redis.call('ZCARD', pending) - MOST_WAITING
    if over > 0 then redis.call('ZREMRANGEBYRANK', pending, 0, over - 1) end
    p.keep(pending)
    p.again(pause_ms())
  end

  local function status(user, word)
    redis.call('ZADD', changes, p.next_seq(), user)
    p.keep(changes)
    local told = redis.call('INCR', prefix .. 'rate')
    if told == 1 then redis.call('PEXPIRE', prefix .. 'rate', pause_ms()) end
    if told > TOLD_ONE_BY_ONE then return tell_together({user}) end
    p.publish('organization:' .. p.id, '@' .. user,
      '["user:status",{"user_id":"' .. user .. '","status":"' .. word .. '"}]')
  end

  -- Returns the event that says which of some users are online and which are offline.
  local function statuses_event(users)
    local here, away = {}, {}
    for i = 1, #users, AT_A_TIME do
      local last = math.min(i + AT_A_TIME - 1, #users)
      for k, since in ipairs(redis.call('ZMSCORE', p.online, unpack(users, i, last))) do
        local list = since and here or away
        list[#list + 1] = users[i + k - 1]
      end
    end
    return '["user:statuses",{"online":' .. quoted(here) .. ',"offline":' .. quoted(away) .. '}]'
  end

  local function tell_pending()
    if redis.call('EXISTS', pending) == 0 then return end
    local pause = pause_ms()
    if redis.call('SET', prefix .. 'told', 1, 'NX', 'PX', pause - 50) then
      local users = redis.call('ZRANGE', pending, 0, TOLD_TOGETHER - 1)
      redis.call('ZREM', pending, unpack(users))
      p.publish('organization:' .. p.id, #users == 1 and '@' .. users[1] or '-', statuses_event(users))
    end
    p.again(pause)
  end

  -- Forgets changes that are too old: no returning socket can have missed them.
  local function forget_changes(missed_ms)
    local over = redis.call('ZCARD', changes) - REMEMBERED
    if over <= 0 then return end
    local old = redis.call('ZCOUNT', changes, '-inf', p.us - missed_ms * 1000)
    local forgotten = math.min(over, old, FORGOTTEN_AT_ONCE)
    if forgotten > 0 then redis.call('ZREMRANGEBYRANK', changes, 0, forgotten - 1) end
  end

  local function changed_since(seq)
    return redis.call('ZRANGEBYSCORE', changes, '(' .. seq, '+inf')
  end

  -- Returns the event with the changes after `seq` of all users except `own`, or false if there are none.
  function p.missed(seq, own)
    local users = {}
    for _, user in ipairs(changed_since(seq)) do
      if user ~= own then users[#users + 1] = user end
    end
    return #users > 0 and statuses_event(users)
  end

  -- Publishes again what the sockets of a replica may have missed after `seq`.
  function p.tell_again(seq, rooms)
    local users = changed_since(seq)
    if #users > 0 then tell_together(users) end
    for _, room in ipairs(rooms) do
      p.tell_viewers(room)
      p.tell_typing_again(room, seq)
    end
  end

  -- Sockets

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
    if redis.call('ZADD', p.online, 'NX', p.us, user) == 1 then status(user, 'online') end
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
      status(user, 'offline')
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
    tell_pending()
    forget_changes(missed_ms)
    p.keep(p.meta)
  end

  return p
end
