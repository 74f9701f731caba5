-- The beginning of every script: functions for Redis' time, a tenant's seq, and messages as in `publisher/wire.py`.

-- Returns Redis' time in microseconds.
local function redis_time()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Returns a whole number as text; Lua itself would write a large one as 1.8e+15.
local function digits(number)
  return string.format('%.0f', number)
end

-- Returns the seq of a tenant's next message: the time in microseconds, but always above the last seq.
local function next_seq(now, last)
  return math.max(now, tonumber(last or 0) + 1)
end

-- Returns a message for a room's channel. `header` is the flag, the skip_sid, and further fields.
local function message(offset, previous, header, body)
  return offset .. ' ' .. previous .. ' ' .. header .. '\n' .. body
end
