"""Where the governor's signals come from: small probes, each with its own interval, time-out and rights.

replicas.py    what the primary says of its replicas       names.py     what each of them is called
standby.py     a replica that is asked directly            expected.py  which of them must be there
aurora.py      readers of an Aurora cluster                beats.py     when which heartbeat was written
threshold.py   a named query with two thresholds           rates.py     one whose value is an increase
custom.py      a user's query                              promql.py    a query to Prometheus
watch.py       keeps them running as the settings ask      notes.py     what could not be read, and the GRANT
"""
