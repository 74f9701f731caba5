-- Begins a new epoch for a tenant whose latest events Redis has lost.
--
-- KEYS  1 meta
-- ARGV  1 the old epoch  2 the new epoch
-- Returns the present epoch: another replica may have begun one already.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return epoch or ARGV[1] end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
return ARGV[2]
