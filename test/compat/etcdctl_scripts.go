// The etcdctl scripts that are compared, by the feature that they use.
package compat

import "sort"

// script is a list of steps on a store of its own.
type script struct {
	name  string
	needs feature
	steps []step
}

func sorted(lines []string) []string {
	sort.Strings(lines)
	return lines
}

// do is a step without anything special.
func do(arguments ...string) step { return step{arguments: arguments} }

// typed is a step that reads stdin.
func typed(stdin string, arguments ...string) step { return step{arguments: arguments, stdin: stdin} }

func scripts(etcdctl string) []script {
	all := []script{
		{"put", keysAndValues, putSteps()},
		{"get", keysAndValues, getSteps()},
		{"del", keysAndValues, delSteps()},
		{"txn", keysAndValues, txnSteps()},
		{"compaction", keysAndValues, compactionSteps()},
		{"endpoint", keysAndValues, endpointSteps()},
		{"watch", watches, watchSteps()},
		{"lease", leases, leaseSteps()},
		{"lock", locks, lockSteps()},
		{"elect", locks, electSteps()},
		{"member", clusters, memberSteps()},
		{"user and role", users, userSteps()},
		{"auth", users, authSteps()},
		{"password at a prompt", users, promptSteps()},
		{"the walk's users", users, walkSteps()},
	}
	if etcdctl == "etcdctl" {
		all = append(all, script{"watch with progress", watches, watchProgressSteps()}) // 3.4 has no flag for it.
	}
	return all
}

func putSteps() []step {
	return []step{
		do("put", "foo", "bar"), do("put", "foo", "bar2", "--prev-kv"), do("put", "foo", "bar3", "--prev-kv", "-w", "json"),
		do("put", "foo", "bar4", "--prev-kv", "-w", "fields"), do("put", "foo", "x", "-w", "table"), do("put", "foo", "x", "-w", "nonsense"),
		typed("stdin-value", "put", "foo"), typed("", "put", "foo"), do("put"), do("put", "new", "--prev-kv", "v"),
		do("put", "nokey", "--ignore-value"), do("put", "foo", "x", "--ignore-value"), do("put", "foo", "--ignore-value"),
		do("put", "nokey", "v", "--ignore-lease"), do("put", "foo", "v", "--ignore-lease"), do("put", "foo", "b", "--lease=1234abc"),
		do("put", "foo", "b", "--lease=zz"), do("put", "", "b"), do("put", "--", "-dash", "-v"), do("get", "--", "-dash"), do("get", "foo", "-w", "json"),
	}
}

func getSteps() []step {
	steps := []step{do("put", "k1", "v1"), do("put", "k2", "v2"), do("put", "k3", "v3"), do("put", "kp", "v"), do("put", "k2", "v22"), do("del", "kp"), do("put", "kp", "v")}
	for _, flags := range [][]string{
		{"k1"}, {"nokey"}, {}, {""}, {"", "--prefix"}, {"", "--from-key"}, {"k", "--prefix"}, {"k", "--prefix", "--keys-only"}, {"k", "--prefix", "--print-value-only"},
		{"k1", "k3"}, {"k2", "--from-key"}, {"k1", "--hex"}, {"k", "--prefix", "--limit=2"}, {"k", "--prefix", "--limit=2", "--rev=4"},
		{"k1", "--order=foo"}, {"k1", "--sort-by=foo"}, {"k1", "--consistency=x"}, {"k1", "--consistency=s"}, {"k1", "--consistency=l"},
		{"k1", "--rev=99999"}, {"k", "--prefix", "--rev=3"}, {"k1", "--rev=-1"}, {"k", "--prefix", "--count-only"}, {"k", "--prefix", "--from-key"}, {"k1", "k2", "--prefix"},
		{"k", "--prefix", "--keys-only", "--count-only"}, {"k1", "--print-value-only", "-w", "json"}, {"k", "--prefix", "--count-only", "-w", "fields"},
		{"k", "--prefix", "--min-mod-rev=4"}, {"k", "--prefix", "--max-mod-rev=4"}, {"k", "--prefix", "--min-create-rev=3"}, {"k", "--prefix", "--max-create-rev=3"},
		{"k", "--prefix", "--stream"}, {"k", "--prefix", "--stream", "--order=DESCEND"}, {"k", "--prefix", "--stream", "-w", "json"}, {"k1", "-w", "table"}, {"k1", "--bogus"}, {"k1", "--rev=x"},
	} {
		steps = append(steps, do(append([]string{"get"}, flags...)...))
	}
	for _, target := range []string{"CREATE", "KEY", "MODIFY", "VALUE", "VERSION"} {
		for _, order := range []string{"ASCEND", "DESCEND"} {
			steps = append(steps, do("get", "k", "--prefix", "--order="+order, "--sort-by="+target))
		}
		steps = append(steps, do("get", "k", "--prefix", "--sort-by="+target, "--keys-only"))
	}
	for _, format := range []string{"simple", "json", "fields"} {
		steps = append(steps, do("get", "k", "--prefix", "-w", format), do("get", "k", "--prefix", "--hex", "-w", format), do("get", "nokey", "-w", format))
	}
	return steps
}

func delSteps() []step {
	steps := []step{}
	for _, key := range []string{"a", "b", "c", "d", "e", "k1", "k2", "k3"} {
		steps = append(steps, do("put", key, "v-"+key))
	}
	return append(steps, do("del", "nokey"), do("del", "k3", "--prev-kv"), do("del", "k1", "k2", "--range"), do("del", "k", "--prefix", "-w", "json"),
		do("del", "a", "c"), do("del", "d", "--from-key", "--prev-kv", "-w", "fields"), do("del"), do("del", "c", "-w", "table"), do("del", ""),
		do("del", "", "--prefix", "--prev-kv"), do("get", "", "--prefix"))
}

func txnSteps() []step {
	steps := []step{do("put", "k1", "v1"), do("put", "k2", "v2")}
	for _, input := range []string{
		"value(\"k1\") = \"v1\"\n\nput k1 new\nget k1\ndel k2\n\nget k1\n\n",
		"value(\"k1\") = \"v1\"\n\nput k1 new\n\nget k1\nput k2 other --prev-kv\n\n",
		"mod(\"k1\") > \"0\"\nver(\"k1\") < \"9\"\ncreate(\"k1\") != \"0\"\n\nget k1 k9\n\n\n",
		"bogus\n", "ver(\"k1\") > \"x\"\n", "\nfoo bar\n\n", "\nput a 1\nput a 2\n\n\n", "", "\n\n\n", "\nget k --prefix --keys-only\ndel k --prefix --prev-kv\n\n\n",
		"\nget k --rev=99999\n\n\n", "\nput a 1 --lease=77\n\n\n",
	} {
		steps = append(steps, typed(input, "txn"), typed(input, "txn", "-w", "json"), typed(input, "txn", "-w", "fields"))
	}
	return append(steps, typed("mod(\"k1\") > \"0\"\n\nput k1 \"a b\"\n\nput k1 x\n\n", "txn", "-i"), do("txn", "foo"), do("get", "", "--prefix"))
}

func compactionSteps() []step {
	steps := []step{}
	for range 8 {
		steps = append(steps, do("put", "foo", "v"))
	}
	return append(steps, do("compaction", "5"), do("compaction", "5"), do("compaction", "9999"), do("compaction", "x"), do("compaction"),
		do("compaction", "--physical", "7"), do("compaction", "0"), do("get", "foo", "--rev=2"), do("get", "foo", "--rev=7"), do("get", "foo", "-w", "json"))
}

func endpointSteps() []step {
	steps := []step{do("put", "k", "v"), do("endpoint", "health", "--endpoints=$ENDPOINT,127.0.0.1:1", "--dial-timeout=200ms", "--command-timeout=1s"),
		do("--endpoints=127.0.0.1:1", "--command-timeout=1s", "--dial-timeout=200ms", "endpoint", "status"), do("version"), do("nonsense")}
	for _, format := range []string{"simple", "json", "fields", "table", "nonsense"} {
		steps = append(steps, do("endpoint", "health", "-w", format), do("endpoint", "status", "-w", format),
			do("endpoint", "health", "--cluster", "-w", format), do("endpoint", "status", "--cluster", "-w", format),
			do("member", "list", "-w", format), do("member", "list", "--hex", "-w", format))
	}
	return steps
}

func memberSteps() []step {
	return []step{do("member", "add"), do("member", "add", "m4"), do("member", "add", "a", "b"), do("member", "add", "m6", "--peer-urls=bad"),
		do("member", "promote", "123"), do("member", "promote", "zz"), do("member", "remove", "123"), do("member", "remove", "zz"), do("member", "remove"),
		do("member", "update", "123", "--peer-urls=http://127.0.0.1:23806"), do("move-leader"), do("move-leader", "zz"), do("move-leader", "123"),
		do("endpoint", "hashkv"), do("endpoint", "hashkv", "--rev=9999")}
}
