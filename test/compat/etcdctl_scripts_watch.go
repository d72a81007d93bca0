// etcdctl scripts of what comes after keys and values: watch, lease, lock and elect, which run until they are interrupted.
package compat

// watched interrupts a watch after endLines lines; what meanwhile does starts once startLines are printed.
func watched(startLines, endLines int, meanwhile []step, arguments ...string) step {
	return step{arguments: arguments, startLines: startLines, endLines: endLines, meanwhile: meanwhile}
}

func watchSteps() []step {
	history := []step{do("put", "w1", "a"), do("put", "w1", "b"), do("del", "w1"), do("put", "w2", "c"), do("put", "x", "d")}
	more := []step{do("put", "w1", "later"), do("del", "w1")}
	return append(history,
		watched(9, 9, nil, "watch", "w1", "--rev=1"), watched(13, 13, nil, "watch", "w1", "--rev=1", "--prev-kv"),
		watched(12, 18, more, "watch", "w", "--prefix", "--rev=1"), watched(5, 13, more, "watch", "w1", "w9", "--rev=8", "--prev-kv"),
		watched(27, 27, nil, "watch", "", "--prefix", "--rev=1"), watched(11, 11, nil, "watch", "w2", "--rev=1", "-w", "fields"),
		watched(1, 1, nil, "watch", "w2", "--rev=1", "-w", "json"),
		watched(5, 5, nil, "watch", "w2", "--rev=1", "--", "sh", "-c", "echo $ETCD_WATCH_KEY $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_VALUE $ETCD_WATCH_REVISION; echo"),
		watched(21, 21, nil, "watch", "w1", "--rev=1", "-w", "simple"),
		step{arguments: []string{"watch", "-i"}, stdin: "watch w1 w3 --rev=4\nwatch x --prev-kv --rev=1\n", startLines: 21, endLines: 21, sortLines: true},
		step{arguments: []string{"watch", "-i"}, stdin: "watch w2 --rev=1\n", startLines: 3, endLines: 3},
		do("watch"), do("watch", "w1", "--"), typed("bogus\n", "watch", "-i"), do("watch", "z", "a"),
		step{arguments: []string{"watch"}, environment: []string{"ETCDCTL_WATCH_RANGE_END=x"}},
		step{arguments: []string{"watch", "w1"}, environment: []string{"ETCDCTL_WATCH_KEY=x"}},
		do("compaction", "3"), do("watch", "w1", "--rev=1"))
}

func watchProgressSteps() []step {
	more := []step{do("put", "w1", "later"), do("del", "w1")}
	return []step{
		do("put", "w1", "a"), do("put", "w2", "b"), watched(3, 3, nil, "watch", "w2", "--rev=1", "--progress-notify"),
		watched(3, 13, more, "watch", "w", "--prefix", "--rev=3", "--progress-notify", "--prev-kv"),
	}
}

func leaseSteps() []step {
	return []step{
		{arguments: []string{"lease", "grant", "600"}, captures: `lease ([0-9a-f]{16})`},
		do("lease", "grant", "x"), do("lease", "grant"), do("lease", "grant", "9000000001"),
		do("put", "lk", "v", "--lease=$ID"), do("lease", "timetolive", "$ID"), do("lease", "timetolive", "$ID", "--keys"),
		do("lease", "timetolive", "$ID", "--keys", "-w", "json"), do("lease", "timetolive", "$ID", "-w", "fields"), do("lease", "timetolive", "123"), do("lease", "timetolive", "zz"),
		do("lease", "list"), do("lease", "list", "-w", "json"), do("lease", "keep-alive", "--once", "$ID"), do("lease", "keep-alive", "--once", "$ID", "-w", "json"),
		do("lease", "keep-alive", "--once", "123"), do("lease", "keep-alive", "123"), watched(1, 1, nil, "lease", "keep-alive", "$ID"),
		// A second key only now: the order of a lease's keys is not fixed.
		do("put", "lk2", "v", "--lease=$ID"), do("put", "lk2", "detached"), do("lease", "revoke", "$ID"), do("lease", "revoke", "$ID"), do("lease", "revoke", "zz"), do("get", "lk", "--prefix"),
	}
}

func lockSteps() []step {
	return []step{
		do("lock", "l1", "echo", "hi"), do("lock", "l1", "--", "sh", "-c", "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV; exit 7"), do("lock"), do("lock", "l1", "nosuchcmd"),
		watched(2, 2, []step{do("get", "l1", "--prefix", "--keys-only")}, "lock", "l1"), do("get", "l1", "--prefix"), do("lock", "l1", "--ttl=20", "true"),
	}
}

func electSteps() []step {
	return []step{
		watched(2, 2, []step{do("get", "e1", "--prefix")}, "elect", "e1", "val"), do("elect", "e1"), do("elect", "-l", "e1", "v"), do("elect"),
		watched(2, 2, []step{watched(2, 2, nil, "elect", "-l", "e2")}, "elect", "e2", "first"),
	}
}
