-- The changes of users who come online or go offline.
--
-- A few changes of a tenant are published one by one, and many are merged into one event about many users, once in a
-- pause: 5,000 users who come at once must not cause 25 million events. The larger the tenant, the longer the pauses,
-- because each event goes to all of its users.
local TOLD_ONE_BY_ONE = 5 -- changes within a pause
local TOLD_TOGETHER = 200 -- users named in one event
local MOST_WAITING = 10000 -- users whose change waits; beyond that the oldest changes are never published
local REMEMBERED = 1000 -- changes that are kept at any age, for replicas that were away for long
local FORGOTTEN_AT_ONCE = 10000 -- changes: some 2 ms
local AT_A_TIME = 1000 -- arguments of one call

local function with_changes(p)
  local changes, pending = p.prefix .. 'changes', p.prefix .. 'pending'

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

  -- Notes and publishes that a user is "online" or "offline".
  function p.changed(user, word)
    redis.call('ZADD', changes, p.next_seq(), user)
    p.keep(changes)
    local told = redis.call('INCR', p.prefix .. 'rate')
    if told == 1 then redis.call('PEXPIRE', p.prefix .. 'rate', pause_ms()) end
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

  -- Publishes the merged changes, unless the pause is not over.
  function p.tell_changes()
    if redis.call('EXISTS', pending) == 0 then return end
    local pause = pause_ms()
    if redis.call('SET', p.prefix .. 'told', 1, 'NX', 'PX', pause - 50) then
      local users = redis.call('ZRANGE', pending, 0, TOLD_TOGETHER - 1)
      redis.call('ZREM', pending, unpack(users))
      local seq = p.publish('organization:' .. p.id, #users == 1 and '@' .. users[1] or '-', statuses_event(users))
      -- A socket that was there at the change, and away when it was published, has missed it.
      for i = 1, #users do redis.call('ZADD', changes, 'XX', seq or p.next_seq(), users[i]) end
    end
    p.again(pause)
  end

  -- Forgets changes that are too old: no returning socket can have missed them.
  function p.forget_changes(missed_ms)
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

  -- Publishes again the changes after `seq`.
  function p.tell_changes_again(seq)
    local users = changed_since(seq)
    if #users > 0 then tell_together(users) end
  end
end
