-- Counts a socket as one of its user's, until its lease ends; of too many the oldest are sent away for good.
-- This stands before the scripts that let a socket in.
local function count_socket(sockets, online, channel, prefix, user, pid, now, lease_ms, most, publish, place)
  local ends = math.floor(now / 1000) + lease_ms
  redis.call('ZREMRANGEBYSCORE', sockets, '-inf', math.floor(now / 1000))
  redis.call('ZADD', sockets, ends, pid)
  redis.call('PEXPIRE', sockets, lease_ms)
  redis.call('ZADD', online, ends, user)
  redis.call('PEXPIRE', online, lease_ms)
  local over = redis.call('ZCARD', sockets) - most
  if most == 0 or over <= 0 then return end
  local others = {}
  for _, other in ipairs(redis.call('ZRANGE', sockets, 0, -1)) do
    if other ~= pid then
      others[#others + 1] = {tonumber(redis.call('HGET', prefix .. other, 'at') or 0), other}
    end
  end
  table.sort(others, function(a, b) return a[1] < b[1] end)
  for i = 1, math.min(over, #others) do
    local oldest = others[i][2]
    redis.call('ZREM', sockets, oldest)
    redis.call('DEL', prefix .. oldest)
    redis.call(publish, channel, place .. ' 0 c -\n{"do":"evict","pid":"' .. oldest .. '"}')
  end
end

