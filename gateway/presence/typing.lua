-- The users who type in a conversation. Begin and end of typing are published; it ends by itself.
local TYPED_MS = 3600000 -- longer than a socket can be away whose page still shows the typing

local function with_typing(p)
  local function tell(room, user, skip, typing)
    p.publish(room, skip, '["user_typing",{"conversation_id":"' .. conversation_of(room) .. '","user_id":"' ..
      user .. '","typing":' .. typing .. '}]')
  end

  -- Returns the typing sockets of a room, sorted by the end of their typing.
  local function typing_in(room)
    local found = {}
    local flat = redis.call('ZRANGE', p.prefix .. 'typing:' .. room, 0, MOST_LOOKED_AT - 1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local pid, user, skip = string.match(flat[i], '(%S+) (%S+) (%S+)')
      found[#found + 1] = {pid = pid, user = user, skip = skip, entry = flat[i], left_ms = flat[i + 1] - p.ms}
    end
    return found
  end

  function p.type(room, pid, user, skip, ms)
    local key, is_news = p.prefix .. 'typing:' .. room, true
    for _, typing in ipairs(typing_in(room)) do
      if typing.user == user and typing.left_ms > 0 then is_news = false end
    end
    redis.call('ZADD', key, p.ms + ms, pid .. ' ' .. user .. ' ' .. skip)
    p.keep(key)
    p.look_later('typing ' .. room, 'LT', ms)
    if is_news then tell(room, user, skip, 'true') end
  end

  -- Ends all typing whose time is over and, with a pid, also the typing of that socket.
  function p.stop_typing(room, pid)
    local ended, goes_on, found = {}, {}, typing_in(room)
    if #found == MOST_LOOKED_AT then p.look_later('typing ' .. room, 'LT', 0) end
    for _, typing in ipairs(found) do
      if typing.pid == pid or typing.left_ms <= 0 then
        redis.call('ZREM', p.prefix .. 'typing:' .. room, typing.entry)
        ended[#ended + 1] = typing
      else
        goes_on[typing.user] = true
        p.look_later('typing ' .. room, 'LT', typing.left_ms)
      end
    end
    local typed = p.prefix .. 'typed:' .. room
    for _, typing in ipairs(ended) do
      if not goes_on[typing.user] then
        goes_on[typing.user] = true -- published once, however many of the user's sockets stopped
        redis.call('ZADD', typed, p.next_seq(), typing.user)
        redis.call('ZREMRANGEBYSCORE', typed, '-inf', p.us - TYPED_MS * 1000)
        redis.call('PEXPIRE', typed, TYPED_MS)
        tell(room, typing.user, typing.skip, 'false')
      end
    end
  end

  function p.typists(room)
    local users, seen = {}, {}
    for _, typing in ipairs(typing_in(room)) do
      if typing.left_ms > 0 and not seen[typing.user] and #users < MOST_SHOWN then
        seen[typing.user] = true
        users[#users + 1] = typing.user
      end
    end
    return users
  end

  -- Returns the users whose typing has ended since a seq and has not begun again.
  function p.stopped(room, seq)
    local types, users = {}, {}
    for _, user in ipairs(p.typists(room)) do types[user] = true end
    for _, user in ipairs(redis.call('ZRANGEBYSCORE', p.prefix .. 'typed:' .. room, '(' .. seq, '+inf')) do
      if not types[user] then users[#users + 1] = user end
    end
    return users
  end

  function p.tell_typing_again(room, seq)
    for _, user in ipairs(p.stopped(room, seq)) do tell(room, user, '@' .. user, 'false') end
    for _, user in ipairs(p.typists(room)) do tell(room, user, '@' .. user, 'true') end
  end
end
