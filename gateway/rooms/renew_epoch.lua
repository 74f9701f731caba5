-- Begins a new epoch for a tenant of which Redis has lost the latest events.
--
-- KEYS  1 meta
-- ARGV  1 the epoch that is over  2 the next one
-- Returns the epoch that holds from now on: another replica may have begun one already.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return epoch or ARGV[1] end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
return ARGV[2]
