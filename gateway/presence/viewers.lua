-- Who looks at a conversation: the users of the sockets that have joined it.
--
--   viewers:<room>  zset  "<pid> <user>" -> us since when
--   told:<room>     held for as long as its viewers need not be told again: half a second, longer for a crowd
local PAUSE_MS = 500

local function with_viewers(p)
  local function viewers_of(room)
    return p.prefix .. 'viewers:' .. room
  end

  -- Returns the users who look at a room, and how many sockets there are; forgets sockets that are gone.
  function p.viewers(room)
    local key, users, seen = viewers_of(room), {}, {}
    local viewers = redis.call('ZRANGE', key, 0, MOST_LOOKED_AT - 1)
    local alive = #viewers > 0 and redis.call('ZMSCORE', p.leases, unpack(viewers))
    for i, viewer in ipairs(viewers) do
      local user = string.match(viewer, ' (.*)')
      if not alive[i] then
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
    return '["conversation:viewers",{"conversation_id":"' .. conversation_of(room) ..
      '","user_ids":' .. quoted(users) .. ',"sockets":' .. sockets .. '}]'
  end

  -- Tells a room who looks at it, now or when it was told long enough ago; returns whether it was now.
  function p.tell_viewers(room)
    local pause = math.max(PAUSE_MS, math.floor(1000 * redis.call('ZCARD', viewers_of(room)) / CROWD))
    if redis.call('SET', p.prefix .. 'told:' .. room, 1, 'NX', 'PX', pause) then
      p.publish(room, '-', p.viewers_event(room))
      return true
    end
    p.look_later(room, 'NX', pause)
    return false
  end

  -- Tells whether a socket's user looks at a room with another socket as well, and whether anybody else does.
  local function others_of(room, viewer)
    local user, others = string.match(viewer, ' .*'), false
    for _, other in ipairs(redis.call('ZRANGE', viewers_of(room), 0, MOST_LOOKED_AT - 1)) do
      if other ~= viewer then
        if string.sub(other, -#user) == user then return true, true end
        others = true
      end
    end
    return false, others
  end

  -- Returns whether everybody in the room was told at once. Whoever comes first is told this way, too: an answer of its
  -- own could be overtaken by what was told before it came.
  function p.look_at(room, pid, user)
    local viewer = pid .. ' ' .. user
    if redis.call('ZADD', viewers_of(room), 'NX', p.us, viewer) == 0 then return false end
    p.keep(viewers_of(room))
    return not others_of(room, viewer) and p.tell_viewers(room)
  end

  function p.look_away(room, pid, user)
    local viewer = pid .. ' ' .. user
    if redis.call('ZREM', viewers_of(room), viewer) == 0 then return end
    local looks_elsewhere, others = others_of(room, viewer)
    if others and not looks_elsewhere then p.tell_viewers(room) end
  end
end
