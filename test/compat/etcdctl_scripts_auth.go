// The scripts about users, roles and authentication.
package compat

import "slices"

// atPrompt is a step whose passwords are typed at a terminal.
func atPrompt(stdin string, arguments ...string) step {
	return step{arguments: arguments, stdin: stdin, terminal: true}
}

// as is a step of a user: name:password, or the name alone.
func as(user string, arguments ...string) step {
	return do(append([]string{"--user=" + user}, arguments...)...)
}

// everyForm is a command in all forms of output but protobuf, whose ids cannot be masked.
func everyForm(arguments ...string) []step {
	var steps []step
	for _, format := range []string{"simple", "json", "fields", "table"} {
		steps = append(steps, do(append(slices.Clone(arguments), "-w", format)...))
	}
	return steps
}

// userSteps are all commands of users and roles, while authentication is off.
func userSteps() []step {
	steps := []step{
		do("user"), do("role"), do("user", "list"), do("role", "list"), do("auth", "status"),
		do("role", "add"), do("role", "add", "r1"), do("role", "add", "r1"), do("role", "add", "r2"), do("role", "add", ""),
		do("role", "grant-permission", "r1", "read", "foo"), do("role", "grant-permission", "r1", "write", "foo"), do("role", "grant-permission", "r1", "bogus", "foo"),
		do("role", "grant-permission", "r1", "read"), do("role", "grant-permission", "nope", "read", "foo"), do("role", "grant-permission", "r1", "read", "b", "a"),
		do("role", "grant-permission", "r1", "readwrite", "a", "b"), do("role", "grant-permission", "r1", "write", "p", "--prefix"),
		do("role", "grant-permission", "r1", "write", "z", "--from-key"), do("role", "grant-permission", "r1", "READ", "upper"),
		do("role", "grant-permission", "r1", "read", "x", "--prefix", "--from-key"), do("role", "grant-permission", "r1", "read", "x", "y", "--prefix"),
		do("role", "grant-permission", "r2", "read", "", "--prefix"), do("role", "grant-permission", "r2", "write", "", "--from-key"), do("role", "grant-permission", "r2", "readwrite", ""),
		do("role", "get"), do("role", "get", "nope"), do("role", "get", "root"), do("role", "get", "r2"),
		do("user", "add"), do("user", "add", ":x"), do("user", "add", "u1:pw1"), do("user", "add", "u1:pw1"), do("user", "add", "u2", "--new-user-password=pw2"),
		do("user", "add", "u3", "--no-password"), typed("pw4\n", "user", "add", "u4", "--interactive=false"), typed("", "user", "add", "u5", "--interactive=false"),
		do("user", "add", "u6:", "--interactive=false"), do("user", "add", "u7:pw:with:colons"), do("user", "add", "ü/8:pw"),
		do("user", "get"), do("user", "get", "u1"), do("user", "get", "nope"), do("user", "grant-role"), do("user", "grant-role", "u1"),
		do("user", "grant-role", "u1", "r1"), do("user", "grant-role", "u1", "r1"), do("user", "grant-role", "u1", "nope"), do("user", "grant-role", "nope", "r1"),
		do("user", "grant-role", "u2", "root"), do("user", "get", "u1", "--detail"), do("user", "get", "u2", "--detail"), do("user", "get", "u3", "--detail"),
	}
	for _, command := range [][]string{{"user", "list"}, {"user", "get", "u1"}, {"role", "list"}, {"role", "get", "r1"}, {"role", "get", "r2"}, {"auth", "status"}} {
		steps = append(steps, everyForm(command...)...)
	}
	for _, format := range []string{"json", "fields"} {
		steps = append(steps, do("role", "add", "w"+format, "-w", format), do("role", "grant-permission", "w"+format, "read", "k", "-w", format),
			do("user", "add", "w"+format+":pw", "-w", format), do("user", "grant-role", "w"+format, "w"+format, "-w", format),
			do("user", "get", "w"+format, "--detail", "-w", format),
			typed("new\n", "user", "passwd", "w"+format, "--interactive=false", "-w", format),
			do("user", "revoke-role", "w"+format, "w"+format, "-w", format), do("role", "revoke-permission", "w"+format, "k", "-w", format),
			do("role", "delete", "w"+format, "-w", format), do("user", "delete", "w"+format, "-w", format))
	}
	return append(steps,
		typed("pw1\n", "user", "passwd", "u1", "--interactive=false"), typed("x\n", "user", "passwd", "nope", "--interactive=false"), do("user", "passwd"),
		do("role", "revoke-permission", "r1", "foo"), do("role", "revoke-permission", "r1", "foo"), do("role", "revoke-permission", "r1", "a", "b"),
		do("role", "revoke-permission", "r1", "p", "--prefix"), do("role", "revoke-permission", "r1", "z", "--from-key"), do("role", "revoke-permission", "r1"),
		do("role", "revoke-permission", "nope", "a"), do("role", "revoke-permission", "r2", "", "--prefix"), do("role", "get", "r1"), do("role", "get", "r2"),
		do("user", "revoke-role", "u1", "r1"), do("user", "revoke-role", "u1", "r1"), do("user", "revoke-role", "u1"), do("user", "revoke-role", "nope", "r1"),
		do("role", "delete", "r2"), do("role", "delete", "r2"), do("role", "delete"), do("user", "delete", "u4"), do("user", "delete", "u4"), do("user", "delete"),
		do("user", "list"), do("role", "list"), do("auth", "status", "-w", "json"))
}

// authSteps switch authentication on and off, and ask for what users may and may not do in every command.
func authSteps() []step {
	steps := []step{
		do("auth"), do("auth", "enable"), do("auth", "disable"), as("u1:pw1", "put", "foo", "before"), do("user", "add", "root:rootpw"),
		do("user", "add", "u1:pw1"), do("user", "add", "u3", "--no-password"), do("role", "add", "r1"),
		do("role", "grant-permission", "r1", "readwrite", "foo"), do("role", "grant-permission", "r1", "read", "dir/", "--prefix"), do("user", "grant-role", "u1", "r1"),
		do("put", "dir/1", "one"), do("put", "bar", "secret"),
		do("auth", "enable"), do("auth", "enable"), as("root:rootpw", "auth", "enable"), do("auth", "status"), do("role", "get", "root"), as("root:rootpw", "role", "get", "root"),
		as("root:rootpw", "role", "list"), as("root:rootpw", "user", "get", "root", "--detail"),
		do("get", "foo"), do("put", "foo", "x"), do("del", "foo"), typed("\nget foo\n\n\n", "txn"), do("lease", "list"),
		// By a certificate of anybody it is granted.
		step{arguments: []string{"lease", "grant", "10"}, captures: `lease ([0-9a-f]+)`}, do("member", "list"),
		do("endpoint", "health"), do("endpoint", "status"), do("alarm", "list"), do("compaction", "1"), do("user", "list"), do("watch", "foo"), do("defrag"), do("endpoint", "hashkv"),
		as("u1:bad", "get", "foo"), as("nope:x", "get", "foo"), as("u3:x", "get", "foo"), as(":x", "get", "foo"), do("get", "foo", "--auth-jwt-token=abc"),
		do("--user=u1", "--password=pw1", "get", "foo"), do("--user=u1:pw1", "--password=bad", "get", "foo"), do("--password=pw1", "get", "foo"), do("--user=u1", "--password=bad", "get", "foo"),
		{arguments: []string{"get", "foo"}, environment: []string{"ETCDCTL_USER=u1:pw1"}},
		{arguments: []string{"get", "foo"}, environment: []string{"ETCDCTL_USER=u1", "ETCDCTL_PASSWORD=pw1"}},
		{arguments: []string{"get", "foo"}, environment: []string{"ETCDCTL_USER=u1:bad"}},
	}
	for _, user := range []string{"u1:pw1", "root:rootpw"} {
		steps = append(steps, watched(3, 3, nil, "--user="+user, "watch", "dir/1", "--rev=2"))
	}
	for _, user := range []string{"u1:pw1", "root:rootpw"} {
		steps = append(steps,
			as(user, "get", "foo"), as(user, "put", "foo", "new"), as(user, "put", "bar", "1"), as(user, "get", "dir/", "--prefix"), as(user, "get", "dir/1"), as(user, "put", "dir/1", "x"),
			as(user, "get", "", "--prefix"), as(user, "get", "foo", "--from-key"), as(user, "del", "dir/", "--prefix"), as(user, "put", "foo", "n", "--prev-kv"),
			step{arguments: []string{"--user=" + user, "txn"}, stdin: "value(\"foo\") = \"n\"\n\nput foo t\nget dir/1\n\nput bar x\n\n"},
			step{arguments: []string{"--user=" + user, "txn"}, stdin: "value(\"bar\") = \"n\"\n\nput foo t\n\n\n"},
			as(user, "endpoint", "health"), as(user, "endpoint", "status", "-w", "json"), as(user, "alarm", "list"), as(user, "alarm", "disarm"),
			as(user, "member", "list"), as(user, "member", "remove", "123"), as(user, "compaction", "3"), as(user, "defrag"), as(user, "move-leader", "123"),
			step{arguments: []string{"--user=" + user, "lease", "grant", "600"}, captures: `lease ([0-9a-f]+)`}, as(user, "put", "foo", "leased", "--lease=$ID"),
			as(user, "lease", "timetolive", "$ID", "--keys"), as(user, "lease", "list"), as(user, "lease", "keep-alive", "--once", "$ID"), as(user, "lease", "revoke", "$ID"),
			as(user, "user", "list"), as(user, "user", "get", "u1"), as(user, "user", "get", "root"), as(user, "role", "get", "r1"), as(user, "role", "get", "nope"), as(user, "role", "list"),
			as(user, "user", "add", "u9:pw"), as(user, "user", "delete", "u9"), as(user, "role", "add", "r9"), as(user, "role", "delete", "r9"),
			as(user, "user", "grant-role", "u1", "root"), as(user, "user", "revoke-role", "u1", "root"), as(user, "auth", "status"))
	}
	return append(steps,
		as("u1:pw1", "watch", "bar"), as("u1:pw1", "watch", "foo", "--prefix"), as("u1:bad", "watch", "foo"), as("u1:pw1", "elect", "bar", "v"), as("u1:pw1", "endpoint", "hashkv"),
		as("u1:pw1", "lock", "foo", "echo", "locked"), as("root:rootpw", "lock", "foo", "echo", "locked"),
		as("root:rootpw", "user", "delete", "root"), as("root:rootpw", "role", "delete", "root"), as("root:rootpw", "user", "revoke-role", "root", "root"),
		step{arguments: []string{"--user=root:rootpw", "user", "passwd", "u1", "--interactive=false"}, stdin: "pw2\n"}, as("u1:pw1", "get", "foo"), as("u1:pw2", "get", "foo"),
		as("u1:pw2", "auth", "disable"), do("auth", "disable"), as("root:rootpw", "auth", "disable"), do("get", "bar"), as("u1:whatever", "get", "bar"), do("auth", "status", "-w", "json"),
		do("auth", "enable"), do("get", "bar"), as("root:rootpw", "auth", "disable"))
}

// promptSteps type passwords at a terminal: a new one twice, one's own once.
func promptSteps() []step {
	return []step{
		atPrompt("rootpw\nrootpw\n", "user", "add", "root"), do("user", "grant-role", "root", "root"),
		atPrompt("pw1\npw1\n", "user", "add", "u1"), atPrompt("pw1\nother\n", "user", "add", "u2"), atPrompt("\n\n", "user", "add", "u3"),
		atPrompt("pw2\npw2\n", "user", "passwd", "u1"), atPrompt("pw2\npw3\n", "user", "passwd", "u1"),
		do("auth", "enable"), atPrompt("rootpw\n", "--user=root", "user", "list"), atPrompt("wrong\n", "--user=root", "user", "list"),
		atPrompt("pw2\n", "--user=u1", "get", "foo"), atPrompt("rootpw\npw4\npw4\n", "--user=root", "user", "passwd", "u1"), as("u1:pw4", "user", "get", "u1"),
		{arguments: []string{"user", "list"}, environment: []string{"ETCDCTL_USER=root"}, stdin: "rootpw\n", terminal: true},
	}
}

// walkSteps are what tutorials teach, as they have it.
func walkSteps() []step {
	steps := []step{do("role", "add", "root"), do("role", "add", "admin"), do("role", "add", "usr"),
		do("role", "grant-permission", "admin", "readwrite", "--prefix=true", "/"), do("role", "grant-permission", "usr", "read", "--prefix=true", "/")}
	for _, name := range []string{"root", "admin", "usr"} {
		steps = append(steps, do("user", "add", name+":123456"), do("user", "grant-role", name, name))
	}
	return append(steps, do("user", "list"), do("role", "list"), do("role", "get", "admin"), do("user", "get", "usr"), do("auth", "enable"),
		do("put", "foo", "bar"), as("admin:123456", "put", "foo", "bar"), as("admin:123456", "put", "/foo", "bar"), as("usr:123456", "get", "/foo"),
		as("usr:123456", "put", "/foo", "x"), as("root:123456", "put", "foo", "bar"), as("usr:123456", "get", "foo"), as("root:123456", "user", "list"),
		as("root:123456", "role", "revoke-permission", "usr", "--prefix=true", "/"), as("usr:123456", "get", "/foo"), as("root:123456", "user", "delete", "usr"),
		as("usr:123456", "get", "/foo"), as("root:123456", "auth", "disable"), do("get", "/foo"))
}
