-- The viewers of a conversation: the users whose sockets have joined it.
local PAUSE_MS = 500

local function with_viewers(p)
  local function viewers_of(room)
    return p.prefix .. 'viewers:' .. room
  end

  -- Returns viewers of a room, and the number of its sockets; forgets sockets that are gone.
  function p.viewers(room)
    local key, users, seen = viewers_of(room), {}, {}
    local viewers = redis.call('ZRANGE', key, 0, MOST_LOOKED_AT - 1)
    local alive = #viewers > 0 and redis.call('ZMSCORE', p.leases, unpack(viewers))
    for i, viewer in ipairs(viewers) do
      local pid, user = string.match(viewer, '(%S+) (.*)')
      if not alive[i] or (tonumber(alive[i]) <= p.ms and redis.call('EXISTS', p.prefix .. 'session:' .. pid) == 0) then
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

  -- Publishes the viewers of a room, now or after the pause since the last time; returns whether it was now.
  function p.tell_viewers(room)
    local pause = math.max(PAUSE_MS, math.floor(1000 * redis.call('ZCARD', viewers_of(room)) / CROWD))
    if redis.call('SET', p.prefix .. 'told:' .. room, 1, 'NX', 'PX', pause) then
      p.publish(room, '-', p.viewers_event(room))
      return true
    end
    p.look_later(room, 'NX', pause)
    return false
  end

  -- Returns whether the socket's user has another socket in the room, and whether the room has any other socket.
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

  -- Adds a socket; returns whether the whole room was told at once. The first viewer is told this way, too: behind an
  -- answer of its own, an event from before its join could still arrive.
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
