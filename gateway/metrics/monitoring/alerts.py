"""The alerts. Each is about what users notice, or will soon.

What heals by itself is left alone for as long as that takes.
"""

from __future__ import annotations

from gateway.metrics.monitoring.alert import Alert

# A worker is an event loop of its own; without workers the label is empty and changes nothing.
EACH = "instance, worker"

REDIS = (
    Alert(
        "GatewayAbsent",
        "critical",
        "absent(gateway_info)",
        "2m",
        "One or two scrapes may fail. A rolling restart always leaves at least one replica to scrape.",
        "Prometheus scrapes no replica of the gateway",
        "No replica runs, or Prometheus reaches none. If none runs, no browser gets live events. Publishers "
        "still work, and Redis keeps their events in the history of each room.",
        "check whether the processes run (`docker compose ps`, `kubectl get pods`). If they end at once, their "
        "last log line gives the reason (a setting, Redis). If they run, the scraping fails: check service "
        "discovery, network policy and port.",
    ),
    Alert(
        "GatewayDeaf",
        "critical",
        'gateway_redis_up{connection="subscriber"} == 0',
        "1m",
        "A replica notices this within 5 s. It then makes a new connection within a second, if Redis lets it.",
        "{{ $labels.instance }} has received nothing from Redis for a minute",
        "The replica's own probe does not come back over the connection that brings events. Its sockets stay "
        "connected but get no events, and it takes no new clients, as it is not ready. When it hears Redis "
        "again, it sends the missed events from the history, as far back as that reaches "
        "(`GATEWAY_RECOVERY_WINDOW_S`, up to `GATEWAY_HISTORY_MAX_EVENTS` per room).",
        "if all replicas have this alert, check Redis and the network: `redis-cli ping`, Redis' log, its memory, "
        "`client-output-buffer-limit pubsub`. If only one replica has it, restart that one: its clients move to "
        "others and recover. `gateway check` on its machine shows what it can reach.",
    ),
    Alert(
        "GatewayRedisAway",
        "critical",
        'gateway_redis_up{connection="commands"} == 0',
        "1m",
        "A restart or a failover of Redis takes seconds; a minute is too long for one.",
        "{{ $labels.instance }} can't send commands to Redis",
        "Joins fail with `unavailable`. Connects and recoveries are closed, and browsers try again. Open sockets "
        "stay connected. Publishers buffer 10,000 events each, then drop the oldest (see PublisherDropped).",
        "do as for GatewayDeaf. If the gateway did not follow a failover, check `REDIS_URL`: it must name the "
        "Sentinels or the cluster, not one server, which may be a replica now. After a change of password or "
        "certificate, check Redis' log.",
    ),
    Alert(
        "GatewayNotReady",
        "warning",
        "gateway_ready == 0 and gateway_draining == 0",
        "3m",
        "GatewayDeaf and GatewayRedisAway come first. This alert is for all other reasons.",
        "{{ $labels.instance }} runs but takes no new clients",
        "The replica reports that it is not ready, and it is not being stopped. Balancers send new clients to "
        "other replicas. If no replica is ready, no new client gets in.",
        "read the reason from `/health/ready`. If it is Redis, see GatewayDeaf and GatewayRedisAway. If it is "
        "the keys of tokens, see GatewayJwksUnavailable: a replica without any keys lets nobody in.",
    ),
    Alert(
        "GatewayRedisReconnects",
        "warning",
        "increase(gateway_redis_reconnects_total[15m]) > 3",
        "0m",
        "One or two are a restart or a failover. More than three in 15 minutes mean that connections do not last.",
        "{{ $labels.instance }} lost its {{ $labels.connection }} connection to Redis {{ $value | humanize }} "
        "times",
        "After a reconnect of the `subscriber`, the replica reads the history of its rooms: no event is lost, "
        "but events come late, and Redis has more work. While `commands` is away, joins and connects fail for a "
        "moment.",
        "check Redis' log. The line `scheduled to be closed ASAP for overcoming of output buffer limits` means "
        "that `client-output-buffer-limit pubsub` is too small for the traffic, or that the replica is too slow "
        "(see GatewayLoopLag). Otherwise check for a firewall or balancer that ends long connections, and for "
        "restarts of Redis.",
    ),
    Alert(
        "GatewayHistoryLost",
        "critical",
        "increase(gateway_history_lost_total[10m]) > 0",
        "0m",
        "The data is lost already. The alert stays for ten minutes, so that nobody overlooks it.",
        "Redis lost the event history of organizations",
        "The epoch of an organization has changed: Redis was emptied, was restored from an old copy, or a master "
        "without data took over. The gateway can't know which events clients missed. It told all clients of the "
        "organization (`recovered: false`), and they load from the REST API, all at once.",
        "find out how Redis lost its data, and prevent it: a restart without `appendonly`, `FLUSHALL`, an "
        "eviction policy other than `noeviction` (`gateway check` reports it), a failover to an empty replica. "
        "Watch the load on the REST API.",
    ),
    Alert(
        "GatewayTenantUnreadable",
        "critical",
        "gateway_tenants_unreadable > 0",
        "1m",
        "The gateway tries again at least every two seconds, so a minute is not a passing error.",
        "{{ $labels.instance }} can't read the history of {{ $value | humanize }} organizations",
        "Redis refuses to read a key of these organizations: somebody overwrote it, or wrote into it by hand. "
        "Their members get no events until the key is repaired. After half a minute their connections are "
        "closed, and they can't connect again. All other organizations work as usual.",
        "find the organization and Redis' error in the log line `tenant_unreadable`. Check the organization's "
        "keys (`redis-cli --scan --pattern 'rt:{ID}:*'`, `TYPE`): a log must be a stream. `DEL` a log that is "
        "not. All clients that missed events of it are told.",
    ),
    Alert(
        "GatewayHoles",
        "warning",
        "increase(gateway_unrecoverable_gaps_total[15m]) > 0",
        "0m",
        "The clients were told already. The alert is there to prevent the next time.",
        "Rooms lost events before {{ $labels.instance }} could read them",
        "After a break, the history of some rooms did not reach back to the last event that the replica had. "
        "Their members were disconnected, came back, were told (`recovered: false`, `trimmed`) and load from the "
        "REST API.",
        "if the break was long, nothing is wrong. If it was short, the history is too short for the traffic of "
        "the rooms: raise `GATEWAY_HISTORY_SIZE`, and Redis' memory with it. If there was no break and "
        "`gateway_oversized_events_total` rises, a backend publishes events larger than half of "
        "`GATEWAY_MAX_BUFFER_BYTES`: make them smaller, or raise that setting.",
    ),
    Alert(
        "GatewayGaps",
        "warning",
        "increase(gateway_gaps_total[15m]) > 5",
        "0m",
        "One gap may come with a failover. More than five in 15 minutes have a lasting cause.",
        "{{ $labels.instance }} missed messages although its connection to Redis was up",
        "An event named a previous event that the replica had never received. It read the missed events from the "
        "history, so users got them late but lost none. Pub/sub does not lose messages on a working connection: "
        "something in between drops them, or two Redis servers take writes.",
        "check that there is only one master (`redis-cli role` on each server), that no proxy drops messages, "
        "and that publishers and gateways use the same database and the same kind of pub/sub.",
    ),
    Alert(
        "GatewayRedisSlow",
        "warning",
        f"histogram_quantile(0.9, sum by ({EACH}, le) (rate(gateway_redis_round_trip_seconds_bucket[10m]))) > 0.1",
        "10m",
        "One question every 2 s makes 300 answers in ten minutes. A fork for a snapshot is over by then.",
        "Redis takes {{ $value | humanizeDuration }} to answer {{ $labels.instance }}",
        "Every publish, join and recovery waits for Redis' answer, so users get events and answers late.",
        "if GatewayLoopLag fires as well, this process is slow, not Redis. Otherwise check `redis-cli "
        "--latency`, `SLOWLOG GET`, Redis' CPU, its disk with `appendfsync always`, and the network between.",
    ),
)

DELIVERY = (
    Alert(
        "GatewayLatency",
        "warning",
        f"histogram_quantile(0.99, sum by ({EACH}, le) (rate(gateway_delivery_latency_seconds_bucket[10m]))) > 1",
        "10m",
        "A resync after a break delivers old events late, but it is over within ten minutes.",
        "1 % of the events reach the sockets of {{ $labels.instance }} more than a second late",
        "Users see new events late. The time is measured from Redis' stamp on the event until its last socket "
        "here was given it. The delay of the client's network comes on top.",
        "see GatewayLoopLag and GatewayRedisSlow first. If neither fires, compare clocks: "
        "`gateway_redis_clock_error_seconds` shows how well Redis' clock is known. After a failover, or in a "
        "cluster, the servers' clocks may differ.",
    ),
    Alert(
        "GatewayLoopLag",
        "warning",
        f"histogram_quantile(0.99, sum by ({EACH}, le) (rate(gateway_loop_lag_seconds_bucket[5m]))) > 0.1",
        "10m",
        "Of ten samples a second, 1 % are six a minute. A rush of clients after a restart is over by then.",
        "The event loop of {{ $labels.instance }} lags by {{ $value | humanizeDuration }}",
        "Everything that the process does comes late: events, heartbeats, answers. If the lag grows to several "
        "seconds, clients count as gone and are disconnected.",
        "add CPU or replicas: a process uses one core (see GatewayCpu). If the CPU is not busy, the machine is "
        "overloaded, swaps, or throttles the container (`container_cpu_cfs_throttled_periods_total`).",
    ),
    Alert(
        "GatewayCpu",
        "warning",
        f"rate(process_cpu_seconds_total[5m]) > 0.85 and on ({EACH}) gateway_info",
        "15m",
        "Autoscaling has reacted by then.",
        "{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its core",
        "An event loop can use only one core. This one is almost full, so events and answers will soon come late.",
        "add replicas, or workers on machines with more cores. The dashboard shows the work that fills the core: "
        "deliveries, connects or recoveries.",
    ),
    Alert(
        "GatewaySlowCuts",
        "warning",
        "increase(gateway_slow_cut_total[10m]) > 10 and increase(gateway_slow_cut_total[10m]) > 0.05 * "
        "gateway_sockets",
        "10m",
        "A few slow clients are normal and disturb nobody else. 5 % of all sockets in ten minutes are not normal.",
        "{{ $labels.instance }} cut {{ $value | humanize }} clients in 10 minutes, because they did not read",
        "The unsent bytes of these clients exceeded `GATEWAY_MAX_BUFFER_BYTES`. They come back and recover. If "
        "they stay too slow for their events, they are cut again and again.",
        "if many clients are cut at once, check the network, and proxies that buffer. If they belong to one "
        "organization, it publishes more than browsers can read: `gateway tail --org` shows the events. Conflate "
        "events that only count in their latest state.",
    ),
    Alert(
        "GatewayBuffersFill",
        "warning",
        "gateway_unsent_bytes > 0.05 * gateway_unsent_limit_bytes * gateway_sockets and gateway_unsent_bytes "
        "> 67108864",
        "5m",
        "One slow client may reach its limit and is cut. This is about the average of all, from 64 MiB in total.",
        "{{ $labels.instance }} holds {{ $value | humanize1024 }}B that clients have not read",
        "Many clients at once do not read what they are sent, so they see events late. The data stays in memory "
        "until they read it or are cut.",
        "do as for GatewaySlowCuts. If memory runs out before clients are cut, lower `GATEWAY_MAX_BUFFER_BYTES`.",
    ),
    Alert(
        "GatewayBacklog",
        "warning",
        "gateway_backlog_messages > 5000",
        "2m",
        "A resync takes seconds. Beyond 10,000 messages of one organization, its history is read again instead.",
        "{{ $value | humanize }} messages in {{ $labels.instance }} wait for a resync to end",
        "The connection to Redis was lost, or a gap was found. The replica can't read the history as fast as new "
        "events come, so its users get events late.",
        "see GatewayRedisAway and GatewayRedisSlow. The log line `redis_resync_failed` gives the reason.",
    ),
    Alert(
        "GatewayRecoveriesFail",
        "warning",
        'sum by (instance) (increase(gateway_recoveries_total{outcome!="recovered"}[15m])) > 20 and sum by '
        '(instance) (increase(gateway_recoveries_total{outcome!="recovered"}[15m])) > 0.2 * sum by '
        "(instance) (increase(gateway_recoveries_total[15m]))",
        "15m",
        "Laptops that wake up in the morning have expired sessions. They are fewer, and over by then.",
        "{{ $value | humanize }} clients that came back to {{ $labels.instance }} could not recover",
        "These clients were told so, and load from the REST API, which now has more load.",
        "look up the outcome on the dashboard. `expired`: the clients were away for longer than "
        "`GATEWAY_RECOVERY_WINDOW_S`. `trimmed`: they missed more than the history holds. `unknown`, `epoch`: "
        "Redis lost data. `identity`: a page reuses the session of another user.",
    ),
    Alert(
        "GatewayErrors",
        "warning",
        "sum by (instance) (increase(gateway_handler_errors_total[15m])) > 0 or sum by (instance) "
        '(increase(gateway_event_refused_total{code="internal"}[15m])) > 0',
        "0m",
        "There should be no such errors at all. Each has a line in the log.",
        "{{ $labels.instance }} had internal errors",
        "A client got the answer `internal`, or its message was dropped. The mistake is in the gateway, not in "
        "the client.",
        "find `handler_failed`, `engine_handler_failed`, `engine_closer_failed` or `engine_timer_failed` in the "
        "log, and report it.",
    ),
)

STRANGERS = (
    Alert(
        "GatewayRefusals",
        "warning",
        "sum by (instance, code) (rate(gateway_refused_total[10m])) > 5",
        "10m",
        "Some tokens expire all day long. Five refusals a second with one code, for ten minutes, have one cause.",
        "{{ $labels.instance }} refuses {{ $value | humanize }} connects a second: {{ $labels.code }}",
        "Browsers whose token is refused are told so. They do not connect again until their page has another "
        "token.",
        "`token_invalid`: secret or keys differ from the backend's, perhaps after a rotation. `token_expired`: "
        "the page does not refresh its token, or a clock is wrong. `tenant_missing`: check "
        "`GATEWAY_TENANT_CLAIM`. If all come from one address, somebody guesses tokens: the log line "
        "`socket_refused` has `remote`.",
    ),
    Alert(
        "GatewayTurnsAway",
        "warning",
        'sum by (instance) (rate(gateway_limited_total{limit=~"connects_per_s|max_pending_connects"}[5m])) > 10',
        "10m",
        "After an outage all clients come back at once, and are let in at a safe rate: give it time.",
        "{{ $labels.instance }} turns away {{ $value | humanize }} connects a second",
        "More clients connect than the limits allow. The others get a 503 with `Retry-After`, and try again.",
        "after an outage, wait. Otherwise add replicas, or raise the limits if CPU and Redis have room. If one "
        "address makes the connects, set `GATEWAY_MAX_SOCKETS_PER_ADDRESS`.",
    ),
    Alert(
        "GatewayJwksUnavailable",
        "warning",
        "gateway_jwks_unavailable == 1",
        "15m",
        "The known keys stay in use, so this is urgent only during a rotation of keys.",
        "{{ $labels.instance }} gets no keys from the JWKS URL",
        "Tokens of known keys still work. A client whose token has a new key is disconnected, not refused, so "
        "that it tries again. A replica that starts now lets nobody in.",
        "request the URL from the gateway's machine. The log line `jwks_unavailable` gives the reason. Do not "
        "restart replicas before the URL answers.",
    ),
    Alert(
        "GatewayAuthorizerDown",
        "warning",
        "gateway_authorizer_up == 0",
        "5m",
        "A deployment of the backend is over by then.",
        "{{ $labels.instance }} gets no answer from the backend about joins",
        "The gateway asks the backend only once every 3 seconds now. Joins fail with `unavailable`, or are "
        "allowed with `GATEWAY_AUTHORIZE_ON_FAILURE=allow`. Sockets that have joined stay in their rooms.",
        "check that the backend runs, that `GATEWAY_AUTHORIZE_URL` is right, and that it answers within "
        "`GATEWAY_AUTHORIZE_TIMEOUT_S`. The log line `authorizer_unavailable` gives the reason.",
    ),
    Alert(
        "GatewayCertificateReloadFailed",
        "warning",
        "gateway_certificate_reload_failed == 1",
        "10m",
        "A renewal may write its two files one after the other, and send the signal twice.",
        "{{ $labels.instance }} could not load its renewed certificate",
        "The replica still uses the old certificate. When that expires, no browser can connect.",
        "read in the log line `certificate_reload_failed` what is wrong with the files (permissions, key of "
        "another certificate, not PEM). Correct it and send SIGHUP.",
    ),
)

PROCESS = (
    Alert(
        "GatewayFilesNearLimit",
        "critical",
        "gateway_engine_sessions > 0.8 * gateway_file_limit",
        "5m",
        "Autoscaling has reacted by then. At the limit nothing can connect, not even Prometheus.",
        "{{ $labels.instance }} holds {{ $value | humanize }} sockets, and its file limit allows few more",
        "Each socket needs an open file. At the limit, the replica accepts no new connections.",
        "raise the hard limit (`ulimit -Hn`, `LimitNOFILE=`, `ulimits.nofile`) and restart the replicas one "
        "after the other, or add replicas.",
    ),
    Alert(
        "GatewayRestarts",
        "critical",
        f"changes(process_start_time_seconds[30m]) > 2 and on ({EACH}) gateway_info",
        "0m",
        "A rolling restart changes each replica's start time only once.",
        "{{ $labels.instance }} was started {{ $value | humanize }} times in half an hour",
        "The process ends and is started again. Each time its clients are disconnected, and recover on this or "
        "another replica.",
        "read in its last log lines why it ended. If there are none, it was killed: out of memory (`dmesg`, "
        "`kubectl describe pod`), or by a liveness probe that is too strict.",
    ),
)

PUBLISHERS = (
    Alert(
        "PublisherUnsent",
        "warning",
        "publisher_unsent > 1000",
        "2m",
        "A failover fills the buffer, which holds 10,000 events, for seconds; then it empties by itself.",
        "{{ $value | humanize }} events wait in the backend's publisher at {{ $labels.instance }}",
        "Redis takes no events, or takes them more slowly than the backend publishes them. Users get them late. "
        "If the backend's process ends now, they are lost.",
        "see GatewayRedisAway and GatewayRedisSlow. If Redis works, look for `NOAUTH`, `READONLY` or `OOM` in "
        "the backend's log.",
    ),
    Alert(
        "PublisherDropped",
        "critical",
        "increase(publisher_dropped_total[10m]) > 0",
        "0m",
        "The events are lost already, so waiting would not help.",
        "The publisher at {{ $labels.instance }} dropped {{ $value | humanize }} events",
        "Redis was away for longer than the buffer could hold. The oldest events are lost: browsers see their "
        "content only when they load from the REST API.",
        "repair Redis first. For events that must not be lost, use the outbox (`publisher.outbox`).",
    ),
    Alert(
        "PublisherFailed",
        "warning",
        "increase(publisher_failed_total[10m]) > 0",
        "0m",
        "Ephemeral events of a broken connection count, too, so a failover may cause one alert.",
        "The publisher at {{ $labels.instance }} gave up {{ $value | humanize }} events",
        "Redis refused these events for good, or they were ephemeral and the connection broke while they were "
        "sent. Users do not get them live.",
        "find `event lost` with Redis' answer in the backend's log: missing rights (`NOPERM`), a key of the "
        "wrong type, a script error.",
    ),
)

ALERTS = (*REDIS, *DELIVERY, *STRANGERS, *PROCESS, *PUBLISHERS)
