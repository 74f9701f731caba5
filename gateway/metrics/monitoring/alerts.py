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
        "A scrape or two may fail; a rolling restart always leaves somebody to be scraped.",
        "No replica of the gateway is scraped",
        "Prometheus sees no gateway at all: nobody runs, or none can be reached by it. Without a gateway no "
        "browser is live; publishers go on, and what they publish is kept in the history of each room.",
        "look whether the processes run (`docker compose ps`, `kubectl get pods`); if they end at once, "
        "their last line says why (a setting, Redis). If they run, it is the scraping: service discovery, "
        "network policy, port.",
    ),
    Alert(
        "GatewayDeaf",
        "critical",
        'gateway_redis_up{connection="subscriber"} == 0',
        "1m",
        "A replica notices within 5 s, and rebuilds the connection by itself within a second if Redis lets it.",
        "{{ $labels.instance }} has not heard Redis for a minute",
        "The replica's own probe does not come back over the connection that brings events. Its sockets stay "
        "connected and get nothing; new ones are kept off, as it is not ready. What is missed meanwhile is "
        "made good from the history once it hears again, as far as that reaches "
        "(`GATEWAY_RECOVERY_WINDOW_S`, up to `GATEWAY_HISTORY_MAX_EVENTS` a room).",
        "if all replicas say so, it is Redis or the network: `redis-cli ping`, its log, its memory, "
        "`client-output-buffer-limit pubsub`. If one does, restart that one: its clients move on and "
        "recover. `gateway check` on its machine says what it can reach.",
    ),
    Alert(
        "GatewayRedisAway",
        "critical",
        'gateway_redis_up{connection="commands"} == 0',
        "1m",
        "A restart of Redis or a failover takes seconds, and is made good; a minute is no failover any more.",
        "{{ $labels.instance }} can't ask Redis",
        "Joins, connects and recoveries fail with `unavailable` and are tried again by the browsers. Open "
        "sockets stay. Publishers keep events in their buffers: 10,000 each, then the oldest are lost (see "
        "PublisherDropped).",
        "as for GatewayDeaf. After a failover that nobody follows: does `REDIS_URL` name the Sentinels or "
        "the cluster, or one server that is a replica now? A password or certificate that has changed shows "
        "in Redis' log.",
    ),
    Alert(
        "GatewayNotReady",
        "warning",
        "gateway_ready == 0 and gateway_draining == 0",
        "3m",
        "Redis' alerts come first; this one is for the rest.",
        "{{ $labels.instance }} takes no new clients",
        "The replica runs and says that it should get no new clients, and is not being stopped.",
        "ask it: `/health/ready` names the reason. Redis: see GatewayDeaf and GatewayRedisAway. Keys of "
        "tokens: see GatewayJwksUnavailable; without any keys yet it lets nobody in.",
    ),
    Alert(
        "GatewayRedisReconnects",
        "warning",
        "increase(gateway_redis_reconnects_total[15m]) > 3",
        "0m",
        "One or two are a restart or a failover; more of them in 15 minutes are a connection that does not last.",
        "{{ $labels.instance }} lost its {{ $labels.connection }} connection to Redis {{ $value | humanize "
        "}} times",
        "Each time the rooms are subscribed again and read from the history: nothing is lost, but events "
        "come late and Redis has the work.",
        "look into Redis' log: `scheduled to be closed ASAP for overcoming of output buffer limits` means "
        "that `client-output-buffer-limit pubsub` is too small for the traffic, or the replica too slow "
        "(GatewayLoopLag). Otherwise a firewall or balancer that ends long connections, or Redis is being "
        "restarted.",
    ),
    Alert(
        "GatewayHistoryLost",
        "critical",
        "increase(gateway_history_lost_total[10m]) > 0",
        "0m",
        "It has happened, waiting makes nothing better; it stays for ten minutes so that nobody misses it.",
        "Redis lost the history of organizations",
        "The epoch of an organization has changed: Redis was emptied, was restored from an old copy, or a "
        "master without data took over. What was missed since then can't be known. All its clients were told "
        "(`recovered: false`) and load from the REST API, all at once.",
        "find out how Redis lost its data, so that it does not happen again: a restart without `appendonly`, "
        "`FLUSHALL`, an eviction policy other than `noeviction` (`gateway check` says so), a failover to an "
        "empty replica. Watch the load on the REST API.",
    ),
    Alert(
        "GatewayTenantUnreadable",
        "critical",
        "gateway_tenants_unreadable > 0",
        "1m",
        "It is tried again every two seconds at the latest, so this is no passing trouble.",
        "{{ $labels.instance }} can't read the history of {{ $value | humanize }} organizations",
        "Redis refuses to read a key of theirs: somebody overwrote it, or wrote into it by hand. The members of "
        "these organizations get nothing until it is mended, and after half a minute are closed and not let in "
        "again; all others are served as ever.",
        "the log's `tenant_unreadable` names the organization and gives Redis' words. Look at its keys "
        "(`redis-cli --scan --pattern 'rt:{ID}:*'`, `TYPE`): a log is a stream. `DEL` the one that is not: "
        "everyone who is owed something of it is told.",
    ),
    Alert(
        "GatewayHoles",
        "warning",
        "increase(gateway_unrecoverable_gaps_total[15m]) > 0",
        "0m",
        "Clients have been told already; it is about the next time.",
        "Rooms had events that were gone before {{ $labels.instance }} could read them",
        "After a break the history of some rooms did not reach back to where the replica had been. Their "
        "members were closed, came back, were told (`recovered: false`, `trimmed`) and load from the REST "
        "API.",
        "if the break was long, that is what it costs. If it was short, the rooms are busier than the "
        "history is long: raise `GATEWAY_HISTORY_SIZE`, and Redis' memory with it. If there was no break and "
        "`gateway_oversized_events_total` rises, a backend publishes events larger than half of "
        "`GATEWAY_MAX_BUFFER_BYTES`: make them smaller, or raise it.",
    ),
    Alert(
        "GatewayGaps",
        "warning",
        "increase(gateway_gaps_total[15m]) > 5",
        "0m",
        "One may come with a failover; several in a quarter of an hour have a cause that stays.",
        "{{ $labels.instance }} found messages missing on a connection that was there",
        "An event named one before it that was never heard. The history made it good, at the cost of a read. "
        "Pub/sub does not lose messages on a connection that lives, so something is between, or two Redis "
        "servers take writes.",
        "check that there is one master (`redis-cli role` on each), that no proxy drops messages, and that "
        "publishers and gateways use the same database and the same kind of pub/sub.",
    ),
    Alert(
        "GatewayRedisSlow",
        "warning",
        f"histogram_quantile(0.9, sum by ({EACH}, le) (rate(gateway_redis_round_trip_seconds_bucket[10m]))) > 0.1",
        "10m",
        "Asked every 2 s, so ten minutes are 300 answers; a fork for a snapshot is over by then.",
        "Redis takes {{ $value | humanizeDuration }} to answer {{ $labels.instance }}",
        "Every publish, join and recovery waits for it.",
        "if the loop lags as well (GatewayLoopLag), it is this process and not Redis. Else: `redis-cli "
        "--latency`, `SLOWLOG GET`, its CPU, its disk if `appendfsync always`, the network between.",
    ),
)

DELIVERY = (
    Alert(
        "GatewayLatency",
        "warning",
        f"histogram_quantile(0.99, sum by ({EACH}, le) (rate(gateway_delivery_latency_seconds_bucket[10m]))) > 1",
        "10m",
        "A resync after a break delivers old events late, and is over by then.",
        "1 % of the events reach the sockets of {{ $labels.instance }} more than a second late",
        "Measured from Redis' stamp on the event to the moment when the last socket was given it; what the "
        "client's network takes comes on top.",
        "see GatewayLoopLag and GatewayRedisSlow first. If neither: a clock. "
        "`gateway_redis_clock_error_seconds` says how well Redis' is known; after a failover, or in a "
        "cluster, the servers' clocks may differ.",
    ),
    Alert(
        "GatewayLoopLag",
        "warning",
        f"histogram_quantile(0.99, sum by ({EACH}, le) (rate(gateway_loop_lag_seconds_bucket[5m]))) > 0.1",
        "10m",
        "Ten samples a second: 1 % are six a minute. A rush after a restart is over by then.",
        "The event loop of {{ $labels.instance }} lags by {{ $value | humanizeDuration }}",
        "Everything that the process does comes late: events, heartbeats, answers. Beyond some seconds "
        "clients are taken for gone.",
        "more CPU or more replicas: a process uses one core (GatewayCpu). If the CPU is not busy: the "
        "machine is oversubscribed, swaps, or throttles the container "
        "(`container_cpu_cfs_throttled_periods_total`).",
    ),
    Alert(
        "GatewayCpu",
        "warning",
        f"rate(process_cpu_seconds_total[5m]) > 0.85 and on ({EACH}) gateway_info",
        "15m",
        "Autoscaling has had its time by then.",
        "{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its core",
        "An event loop uses one core at most: this one is full, and will lag.",
        "add replicas, or workers on machines with more cores. The dashboard says what it is busy with: "
        "deliveries, connects, recoveries.",
    ),
    Alert(
        "GatewaySlowCuts",
        "warning",
        "increase(gateway_slow_cut_total[10m]) > 10 and increase(gateway_slow_cut_total[10m]) > 0.05 * "
        "gateway_sockets",
        "10m",
        "A few slow clients are normal and hurt nobody else; 5 % of all sockets in ten minutes are not.",
        "{{ $value | humanize }} clients of {{ $labels.instance }} were cut in 10 minutes because they did "
        "not read",
        "Their unsent bytes passed `GATEWAY_MAX_BUFFER_BYTES`. They come back and recover; if they are too "
        "slow for what they get, again and again.",
        "if it is many clients at once, the network between or a proxy that buffers. If it is one "
        "organization, it publishes more than browsers can take: `gateway tail --org` shows what; conflate "
        "what only counts in its latest state.",
    ),
    Alert(
        "GatewayBuffersFill",
        "warning",
        "gateway_unsent_bytes > 0.05 * gateway_unsent_limit_bytes * gateway_sockets and gateway_unsent_bytes "
        "> 67108864",
        "5m",
        "One slow client may be at its limit and is cut; this is about the average of all, and about 64 MiB "
        "at least.",
        "{{ $value | humanize1024 }}B wait in {{ $labels.instance }} for clients to read them",
        "Many clients at once do not take what they are sent: it is kept in memory until they do, or are cut.",
        "as for GatewaySlowCuts. If memory is short before the clients are cut, lower `GATEWAY_MAX_BUFFER_BYTES`.",
    ),
    Alert(
        "GatewayBacklog",
        "warning",
        "gateway_backlog_messages > 5000",
        "2m",
        "A resync takes seconds; 10,000 messages of one organization are kept, then its history is read once "
        "more.",
        "{{ $value | humanize }} messages wait in {{ $labels.instance }} for a resync to end",
        "The connection to Redis was lost or a gap was found, and the history can't be read as fast as "
        "events come.",
        "see GatewayRedisAway and GatewayRedisSlow; the log's `redis_resync_failed` gives the reason.",
    ),
    Alert(
        "GatewayRecoveriesFail",
        "warning",
        'sum by (instance) (increase(gateway_recoveries_total{outcome!="recovered"}[15m])) > 20 and sum by '
        '(instance) (increase(gateway_recoveries_total{outcome!="recovered"}[15m])) > 0.2 * sum by '
        "(instance) (increase(gateway_recoveries_total[15m]))",
        "15m",
        "Laptops that were asleep come back in the morning and have expired: that is fewer, and over by then.",
        "{{ $value | humanize }} clients that came back to {{ $labels.instance }} could not recover",
        "They were told and load from the REST API, which has the load now.",
        "the dashboard says the outcome. `expired`: away for longer than `GATEWAY_RECOVERY_WINDOW_S`. "
        "`trimmed`: the history is shorter than what they missed. `unknown`, `epoch`: Redis lost data. "
        "`identity`: a page that reuses another user's session.",
    ),
    Alert(
        "GatewayErrors",
        "warning",
        "sum by (instance) (increase(gateway_handler_errors_total[15m])) > 0 or sum by (instance) "
        '(increase(gateway_event_refused_total{code="internal"}[15m])) > 0',
        "0m",
        "There should be none; each has a line in the log.",
        "{{ $labels.instance }} had errors of its own",
        "A client was answered `internal`, or its message was dropped. It is a mistake in the gateway, not "
        "the client's.",
        "look for `handler_failed`, `engine_handler_failed`, `engine_closer_failed` and "
        "`engine_timer_failed` in the log, and report it.",
    ),
)

STRANGERS = (
    Alert(
        "GatewayRefusals",
        "warning",
        "sum by (instance, code) (rate(gateway_refused_total[10m])) > 5",
        "10m",
        "Expired tokens trickle in all day long; five a second of one code, for ten minutes, have one cause.",
        "{{ $labels.instance }} refuses {{ $value | humanize }} connects a second: {{ $labels.code }}",
        "Browsers with a refused token are told so and do not come back by themselves, except with another token.",
        "`token_invalid`: secret or keys differ from the backend's, after a rotation perhaps. "
        "`token_expired`: the page does not refresh, or a clock is wrong. `tenant_missing`: "
        "`GATEWAY_TENANT_CLAIM`. From one address only: somebody is trying; the log has `socket_refused` "
        "with `remote`.",
    ),
    Alert(
        "GatewayTurnsAway",
        "warning",
        'sum by (instance) (rate(gateway_limited_total{limit=~"connects_per_s|max_pending_connects"}[5m])) > 10',
        "10m",
        "Everybody comes back at once after an outage, and is let in at a pace that keeps the rest alive: "
        "give it time.",
        "{{ $labels.instance }} turns {{ $value | humanize }} connects a second away",
        "More connect than the limits let in; they get a 503 with `Retry-After` and try again.",
        "after an outage: wait. Otherwise more replicas, or higher limits if CPU and Redis have room. If it "
        "is one address, `GATEWAY_MAX_SOCKETS_PER_ADDRESS`.",
    ),
    Alert(
        "GatewayJwksUnavailable",
        "warning",
        "gateway_jwks_unavailable == 1",
        "15m",
        "The keys that are there stay in use; only a rotation makes it urgent.",
        "{{ $labels.instance }} gets no keys from the JWKS URL",
        "Tokens of known keys are good as before. A token of a new key is not refused, but its connection is "
        "closed, so that the client tries again. A replica that starts now lets nobody in.",
        "ask the URL from the gateway's machine; the log's `jwks_unavailable` gives the reason. Do not "
        "restart replicas before it answers.",
    ),
    Alert(
        "GatewayAuthorizerDown",
        "warning",
        "gateway_authorizer_up == 0",
        "5m",
        "A deployment of the backend is over by then.",
        "{{ $labels.instance }} gets no answer from the backend about joins",
        "It is left alone but for a question every 3 seconds. Joins fail with `unavailable`, or are allowed "
        "with `GATEWAY_AUTHORIZE_ON_FAILURE=allow`; who has joined stays in.",
        "is the backend up, is `GATEWAY_AUTHORIZE_URL` right, does it answer within "
        "`GATEWAY_AUTHORIZE_TIMEOUT_S`? The log's `authorizer_unavailable` gives the reason.",
    ),
    Alert(
        "GatewayCertificateReloadFailed",
        "warning",
        "gateway_certificate_reload_failed == 1",
        "10m",
        "A renewal may write its two files one after the other, and send the signal again.",
        "{{ $labels.instance }} could not load its renewed certificate",
        "It goes on with the old one, until that ends; then no browser connects.",
        "the log's `certificate_reload_failed` says what is wrong with the files (rights, key of another "
        "certificate, not PEM). Put it right and send SIGHUP.",
    ),
)

PROCESS = (
    Alert(
        "GatewayFilesNearLimit",
        "critical",
        "gateway_engine_sessions > 0.8 * gateway_file_limit",
        "5m",
        "Autoscaling has had its time; at the limit nobody gets in, not even the scrape.",
        "{{ $labels.instance }} holds {{ $value | humanize }} sockets, and may have few more",
        "Each socket is an open file. At the limit new connections are not accepted any more.",
        "raise the hard limit (`ulimit -Hn`, `LimitNOFILE=`, `ulimits.nofile`) and restart, one replica "
        "after the other; or add replicas.",
    ),
    Alert(
        "GatewayRestarts",
        "critical",
        f"changes(process_start_time_seconds[30m]) > 2 and on ({EACH}) gateway_info",
        "0m",
        "A rolling restart is one change of each replica.",
        "{{ $labels.instance }} was started {{ $value | humanize }} times in half an hour",
        "The process ends and is started again. Its clients recover each time, elsewhere or here.",
        "its last lines say why it ended; nothing at all means that it was killed: out of memory (`dmesg`, "
        "`kubectl describe pod`), or a liveness probe that is too strict.",
    ),
)

PUBLISHERS = (
    Alert(
        "PublisherUnsent",
        "warning",
        "publisher_unsent > 1000",
        "2m",
        "A failover fills the buffer for seconds, and it empties by itself; 10,000 events fit.",
        "{{ $value | humanize }} events wait in the backend's publisher at {{ $labels.instance }}",
        "Redis takes no events, or not as fast as the backend makes them. They are lost if the process ends now.",
        "see GatewayRedisAway and GatewayRedisSlow. If Redis is well: `NOAUTH`, `READONLY` or `OOM` in the "
        "backend's log.",
    ),
    Alert(
        "PublisherDropped",
        "critical",
        "increase(publisher_dropped_total[10m]) > 0",
        "0m",
        "Events are lost already.",
        "The publisher at {{ $labels.instance }} dropped {{ $value | humanize }} events",
        "Redis was away for longer than the buffer could hold: the oldest events are gone, and no browser "
        "will see them before it loads from the REST API.",
        "bring Redis back first. For what may not be lost there is the outbox (`publisher.outbox`).",
    ),
    Alert(
        "PublisherFailed",
        "warning",
        "increase(publisher_failed_total[10m]) > 0",
        "0m",
        "Ephemeral events of a broken connection count, too: one such alert a failover is fair.",
        "The publisher at {{ $labels.instance }} gave {{ $value | humanize }} events up",
        "Redis refused them for good, or they were ephemeral and the connection broke under them.",
        "the backend's log has `event lost` with Redis' answer: rights (`NOPERM`), a wrong type at a key, a "
        "script error.",
    ),
)

ALERTS = (*REDIS, *DELIVERY, *STRANGERS, *PROCESS, *PUBLISHERS)
