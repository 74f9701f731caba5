-- What a script finds beside the language: `redis`, and no way to make globals. Returns three functions for Python.
--
-- Arguments: call, pcall, sha1hex and log, as Python functions.
local call, pcall_command, sha1hex, log = ...
local format, concat, unpack, select, type = string.format, table.concat, unpack, select, type
local getinfo = debug.getinfo
local absent = '$-1\r\n'

local redis = {
  call = call, pcall = pcall_command, sha1hex = sha1hex, log = log,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  error_reply = function(text)
    if string.sub(text, 1, 1) == '-' then text = string.sub(text, 2) end
    if not string.find(text, ' ', 1, true) then text = 'ERR ' .. text end
    return {err = text}
  end,
  status_reply = function(text) return {ok = text} end,
}

-- What scripts may use; the true globals stay as they are, because lupa needs them.
local allowed = {redis = redis, server = redis}
for _, name in ipairs({'assert', 'error', 'getmetatable', 'ipairs', 'next', 'pairs', 'pcall', 'rawequal', 'rawget', 'rawset',
  'select', 'setmetatable', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall', 'string', 'table', 'math'}) do
  allowed[name] = _G[name]
end
setmetatable(allowed, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
})

-- Returns the bytes of a script's reply, with the conversions of Redis.
local function encode(value)
  local kind = type(value)
  if kind == 'string' then return '$' .. #value .. '\r\n' .. value .. '\r\n' end
  if kind == 'number' then return format(':%d\r\n', value) end
  if kind == 'table' then
    if value.err then return '-' .. string.gsub(value.err, '[\r\n]', ' ') .. '\r\n' end
    if value.ok then return '+' .. string.gsub(value.ok, '[\r\n]', ' ') .. '\r\n' end
    local parts, n = {}, 0
    while value[n + 1] ~= nil do
      n = n + 1
      parts[n] = encode(value[n])
    end
    return '*' .. n .. '\r\n' .. concat(parts)
  end
  return value == true and ':1\r\n' or absent
end

local function split(n, ...)
  return {unpack({...}, 1, n)}, {select(n + 1, ...)}
end

-- Returns two functions that run a script and return the bytes of its reply. The first takes the number of keys, the
-- keys and the arguments; the second takes tables of keys and of arguments, of any length.
local function compile(source)
  local chunk, trouble = loadstring('return function(KEYS, ARGV) ' .. source .. '\nend', '@user_script')
  if not chunk then return nil, trouble end
  local script = setfenv(chunk, allowed)()
  return function(n, ...)
    return encode((script(split(n, ...))))
  end, function(keys, args)
    return encode((script(keys, args)))
  end
end

-- Returns the line of the script that is running; 0 for a call that was the last of its function (`return redis.call()`).
local function line()
  for level = 2, 20 do
    local found = getinfo(level, 'Sl')
    if not found then return 0 end
    if found.short_src == 'user_script' then return found.currentline end
  end
  return 0
end

return compile, function(...) return {...} end, line, function(bytes) absent = bytes end
