-- The first part of every script on presence: the time, the tenant's keys, and messages to its rooms.
--
-- All keys begin with `prefix`, which is "rt:{tenant}:". Published events are ephemeral: at most once, never replayed.
local KEPT_MS = 30 * 86400000 -- life of the keys of a tenant that is not in use: no log is kept for longer
local CROWD = 400 -- sockets that are told for each second of a pause
local MOST_SHOWN = 50 -- users named in an event about one room
local MOST_LOOKED_AT = 200 -- sockets of a room that are read to find these users

local function tenant(prefix, command)
  local p = {prefix = prefix, id = string.match(prefix, '{(.*)}'), delay = -1}
  p.us = redis_time()
  p.ms = math.floor(p.us / 1000)
  p.meta, p.leases, p.online = prefix .. 'meta', prefix .. 'leases', prefix .. 'online'
  p.due = prefix .. 'due'

  -- Asks for a sweep in `ms`; the earliest one that was asked for counts.
  function p.again(ms)
    if p.delay < 0 or ms < p.delay then p.delay = ms end
  end

  -- Returns the last seq: everything published so far is at or below it, everything later above.
  function p.seq()
    return redis.call('HGET', p.meta, 'seq') or '0'
  end

  function p.next_seq()
    return next_seq(p.us, p.seq())
  end

  -- Publishes an event to a room, and returns its seq; `skip` is "-" for nobody, a sid, or "@" and a user.
  function p.publish(room, skip, body)
    local known = redis.call('HMGET', p.meta, 'epoch', 'seq')
    if not known[1] then return end
    local id = digits(next_seq(p.us, known[2]))
    redis.call('HSET', p.meta, 'seq', id)
    redis.call(command, prefix .. 'room:' .. room, message(known[1] .. '-' .. id, '0', 'e ' .. skip, body))
    return id
  end

  -- Returns the tenant's epoch, which is the new one if it has none, and its present seq: everything published so far
  -- is at or below it.
  function p.reached(new_epoch)
    local known = redis.call('HMGET', p.meta, 'epoch', 'seq')
    local epoch, id = known[1] or new_epoch, digits(math.max(p.us, tonumber(known[2] or 0)))
    redis.call('HSET', p.meta, 'epoch', epoch, 'seq', id)
    return epoch, id
  end

  -- Sends a control message to the replicas of a user's sockets: see `gateway/sockets/control.py`.
  function p.control(user, body)
    local known = redis.call('HMGET', p.meta, 'epoch', 'seq')
    redis.call(command, prefix .. 'room:user:' .. user, message(known[1] .. '-' .. known[2], '0', 'c -', body))
  end

  -- Closes the sockets of a session whose generation is lower than the given one.
  function p.close_older(user, pid, generation)
    p.control(user, '{"do":"close","pid":"' .. pid .. '","before":' .. digits(generation) .. '}')
  end

  function p.keep(key)
    redis.call('PEXPIRE', key, KEPT_MS)
  end

  -- Adds a task for a sweep in `ms`: a room whose viewers must be published, or "typing <room>".
  function p.look_later(what, flag, ms)
    redis.call('ZADD', p.due, flag, p.ms + ms, what)
    p.keep(p.due)
    p.again(ms)
  end

  return p
end

local function quoted(names)
  if #names == 0 then return '[]' end
  return '["' .. table.concat(names, '","') .. '"]'
end

-- Returns the id of a conversation, and nil for any other room.
local function conversation_of(room)
  return string.match(room, '^conversation:(.*)')
end

-- Returns whether a token is void, as `Revoked.blocks` does: a socket with a void token does not count as online.
local function is_void(revoked, token_id, issued_at)
  for i = 1, #revoked, 2 do
    if token_id ~= '' and revoked[i] == 'token/' .. token_id then return true end
    if revoked[i] == 'before' and issued_at < tonumber(revoked[i + 1]) then return true end
  end
  return false
end
