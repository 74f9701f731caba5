-- What every script on presence begins with: the time, the tenant's keys, and telling its rooms something.
--
-- All keys are made from `prefix`, which is "rt:{tenant}:". What is told is ephemeral: at most once, never replayed.
local KEPT_MS = 30 * 86400000 -- keys of a tenant that nobody comes to any more: no log is kept for longer
local CROWD = 400 -- sockets told for each second of pause
local MOST_SHOWN = 50 -- users named of one room
local MOST_LOOKED_AT = 200 -- sockets of a room that are looked at to name them

local function tenant(prefix, command)
  local time = redis.call('TIME')
  local p = {prefix = prefix, id = string.match(prefix, '{(.*)}'), delay = -1}
  p.us = time[1] * 1000000 + time[2]
  p.ms = math.floor(p.us / 1000)
  p.meta, p.leases, p.online = prefix .. 'meta', prefix .. 'leases', prefix .. 'online'
  p.due = prefix .. 'due'

  -- Asks to be called again in `ms`.
  function p.again(ms)
    if p.delay < 0 or ms < p.delay then p.delay = ms end
  end

  -- Returns the last seq: what was told so far is at or below it, what comes is above.
  function p.seq()
    return redis.call('HGET', p.meta, 'seq') or '0'
  end

  function p.next_seq()
    return math.max(p.us, tonumber(p.seq()) + 1)
  end

  -- Tells a room something; `skip` is "-" for nobody, a sid, or "@" and a user.
  function p.publish(room, skip, body)
    local known = redis.call('HMGET', p.meta, 'epoch', 'seq')
    if not known[1] then return end
    local id = string.format('%.0f', math.max(p.us, tonumber(known[2]) + 1))
    redis.call('HSET', p.meta, 'seq', id)
    redis.call(command, prefix .. 'room:' .. room, known[1] .. '-' .. id .. ' 0 e ' .. skip .. '\n' .. body)
  end

  function p.keep(key)
    redis.call('PEXPIRE', key, KEPT_MS)
  end

  -- Has a sweep look at something: a room whose viewers are to be told, or "typing <room>".
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

-- Returns the id of a conversation, and nothing for any other room.
local function conversation_of(room)
  return string.match(room, '^conversation:(.*)')
end

-- Tells whether a token is void, as `Revoked.blocks` does: whoever brings it is not there.
local function is_void(revoked, token_id, issued_at)
  for i = 1, #revoked, 2 do
    if token_id ~= '' and revoked[i] == 'token/' .. token_id then return true end
    if revoked[i] == 'before' and issued_at < tonumber(revoked[i + 1]) then return true end
  end
  return false
end
