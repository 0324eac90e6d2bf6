"""The decision core: samples go in with `now`, a decision comes out. No clock, no I/O, no logging.

`now` is monotonic seconds, LSNs are integers, rates are bytes per second. One `Governor` per daemon, one `Controller`
per job and lane:

    governor = Governor(options)                                   # options: PacingOptions of the daemon
    governor.expect(["replica-b"], now=now)                        # who must be there; replaces the earlier list
    governor.observe_wal(lsn, timeline, now=now)                   # each poll: first the primary,
    governor.observe_replica("replica-b", replay_lsn=…|None, state="streaming"|None, now=now,
                             lag_s=None, interval=0.25)            # then each replica, at the same now
    governor.observe(Reading("archive_backlog", 3.0, at=now, unit=" segments", interval=5.0), Limits(20, 42), now=now)
    governor.observe_latency("canary_read", seconds|None, now=now, interval=1.0)   # limits: ratios to its baseline;
                                                                   # begin some polls before the first chunk
    governor.set_lanes(total, own)                                 # live lanes: of all this database's daemons, own
    governor.forget("replica-b")                                   # taken away on purpose
    governor.update(options)
    governor.pace(options, now=now) -> WAL bytes per second | None # None: nothing limits it
    governor.capacity -> WAL bytes per second | None               # of the slowest replica, once a queue has shown it
    governor.hold(options, now=now) -> Hold(reason, since, signal) | None
    governor.signals(now) -> list[SignalStatus(name, value, unit, soft, hard, age_s, level, detail)]
    governor.replicas(now) -> list[ReplicaStatus(name, state, lag_s, backlog_bytes, drain_rate, capacity)]

    controller = Controller(governor, options)                     # options: PacingOptions of the job
    controller.next(now=now) -> RunChunk(rows) | Wait(seconds, reason | None)
    controller.finished(ChunkSample(…), now=now)                   # after every chunk, failed ones too
    controller.update(options)
    controller.set_lanes(total)                                    # live lanes of this job, of all daemons
    controller.throttle(ratio)                                     # make this share of what would be made
    controller.rows, controller.sleep_seconds, controller.hold     # for display

    floor = Floor()                                                # one per job: pauses one that became very slow
    floor.finished(sample, options, lanes=n) -> reason | None

    sizer.py             rows per chunk            path.py, flow.py  the pace that one replica allows
    signals.py, holds.py levels, hysteresis        aimd.py           signals that are not queues
    wal_history.py       true lag                  latency.py        canaries and their baselines
    replica.py           one replica's readings    bucket.py, usage.py  what was spent
    steering.py          the speeds that signals allow
"""
