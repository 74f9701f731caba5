-- Renews the leases of one replica's sockets, all at once, and does the work that is due for their tenant.
--
-- KEYS  1 meta
-- ARGV  1 prefix of the tenant's keys  2 PUBLISH or SPUBLISH  3 ms that a lease runs
--       4 ms that a returning socket may have been away  5.. "<pid> <user>" of each socket
-- Returns {delay, unknown...}. `delay` is the ms until the next sweep is due, -1 for none. `unknown` are the indexes,
-- from 0, of the sockets that counted as gone and have to enter again.
local p = people(ARGV[1], ARGV[2])
local unknown = {}
if #ARGV >= 5 then
  local ends, leases = p.ms + ARGV[3], {}
  for i = 5, #ARGV do
    leases[#leases + 1] = ends
    leases[#leases + 1] = ARGV[i]
  end
  if redis.call('ZADD', p.leases, 'XX', 'CH', unpack(leases)) < #ARGV - 4 then
    for i = 5, #ARGV do
      if not redis.call('ZSCORE', p.leases, ARGV[i]) then unknown[#unknown + 1] = i - 5 end
    end
  end
end
p.sweep(tonumber(ARGV[3]), tonumber(ARGV[4]))
return {p.delay, unpack(unknown)}
