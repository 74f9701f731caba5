-- Renews the leases of one replica's sockets, all at once, and does what has become due for their tenant.
--
-- KEYS  1 meta
-- ARGV  1 what the tenant's keys begin with  2 PUBLISH or SPUBLISH  3 ms a socket counts as there
--       4.. "<pid> <user>" of each socket
-- Returns {delay, unknown...}: ms after which the next sweep is due (-1: none), and the sockets, by their place in
-- ARGV, that were counted as gone and have to come anew.
local p = people(ARGV[1], ARGV[2])
local unknown = {}
if #ARGV >= 4 then
  local ends, leases = p.ms + ARGV[3], {}
  for i = 4, #ARGV do
    leases[#leases + 1] = ends
    leases[#leases + 1] = ARGV[i]
  end
  if redis.call('ZADD', p.leases, 'XX', 'CH', unpack(leases)) < #ARGV - 3 then
    for i = 4, #ARGV do
      if not redis.call('ZSCORE', p.leases, ARGV[i]) then unknown[#unknown + 1] = i - 4 end
    end
  end
end
p.sweep(tonumber(ARGV[3]))
return {p.delay, unpack(unknown)}
