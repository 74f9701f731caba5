-- Notes that something for a session's socket is gone, whatever its client has seen since.
--
-- KEYS  1 session
-- Returns 1, or 0 where the session is gone itself.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'x', '1')
return 1
