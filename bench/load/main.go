// Command load does one piece of work against a server and prints what it measured as one line of JSON.
// The benches in bench/ run it for all that h2load cannot do.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// options are shared by all works; each reads those that it needs.
type options struct {
	endpoint                                              string
	keys, txn, valueBytes, clients, connections, requests int
	limit, span, pages, rate, watchers, streams           int
	revision                                              int
	follower, other, space                                string
	written                                               int
	countOnly                                             bool
	seconds                                               float64
	// user is name:password of who makes the calls, token what a login as such has given.
	user, token, database string
	users, roles, ranges  int
	// ca is the file of whom the server's certificate must be from, without which there is no TLS; cert and key are files
	// of what the generator shows of itself.
	ca, cert, key string
	directory     string
	resumed       bool
}

var works = map[string]func(context.Context, options) (result, error){
	"await":       await,
	"revision":    revision,
	"fill":        fill,
	"range":       ranges,
	"pages":       pages,
	"put":         puts,
	"put-turns":   putTurns,
	"slow-read":   slowRead,
	"compact":     compact,
	"watch-fan":   watchFan,
	"watch-delay": watchDelay,
	"watch-idle":  watchIdle,
	"watch-back":  watchBack,
	"keep-alive":  keepAlive,
	"lease-many":  leaseMany,
	"status":      status,
	"catch-up":    catchUp,
	"copies":      copies,
	"client-put":  clientPut,
	"client-get":  clientGet,
	"client-list": clientList,
	"auth-setup":  authSetup,
	"auth-on":     authOn,
	"auth-off":    authOff,
	"token":       tokenOf,
	"login":       logins,
	"login-puts":  loginPuts,
	"auth-fill":   authFill,
	"auth-seed":   authSeed,
	"auth-change": authChanges,

	"certificates": certificates,
	"handshakes":   handshakes,
	"idle":         idle,
	"read-all":     readAll,
}

func main() {
	if len(os.Args) < 2 || works[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: load WORK --endpoint=host:port […]")
		os.Exit(2)
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.endpoint, "endpoint", "127.0.0.1:2379", "host:port of the server")
	flags.IntVar(&o.keys, "keys", 1000, "keys to write, or that were written")
	flags.IntVar(&o.txn, "txn", 100, "puts in one transaction")
	flags.IntVar(&o.valueBytes, "value-bytes", 256, "bytes of a value")
	flags.IntVar(&o.clients, "clients", 1, "requests in flight")
	flags.IntVar(&o.connections, "connections", 1, "connections that the clients share")
	flags.IntVar(&o.requests, "requests", 100, "requests in all")
	flags.IntVar(&o.limit, "limit", 0, "limit of a range")
	flags.IntVar(&o.span, "span", 0, "keys in a range of which pages are read")
	flags.IntVar(&o.pages, "pages", 1, "pages of a range that are read before another range")
	flags.BoolVar(&o.countOnly, "count-only", false, "ask for the count only")
	flags.IntVar(&o.rate, "rate", 0, "operations (bytes for slow-read) per second; 0 is as fast as it goes")
	flags.IntVar(&o.watchers, "watchers", 100, "watchers on each stream")
	flags.IntVar(&o.streams, "streams", 1, "watch streams, each on its own connection")
	flags.IntVar(&o.revision, "revision", 0, "revision that a follower must reach")
	flags.StringVar(&o.follower, "follower", "", "host:port of the member that catches up")
	flags.StringVar(&o.other, "other", "", "host:port of the server that put-turns puts to as well")
	flags.StringVar(&o.space, "space", keyStart, "what the keys of etcd's own client begin with; by default those that fill writes")
	flags.IntVar(&o.written, "written", 0, "puts of client-put whose keys are asked for; 0 is all keys")
	flags.Float64Var(&o.seconds, "seconds", 5, "time that the work takes, where it is bounded by time")
	flags.StringVar(&o.user, "user", "", "name:password of who makes the calls; without one nobody")
	flags.StringVar(&o.database, "database", "", "etcd's database file, which auth-seed writes to")
	flags.IntVar(&o.users, "users", 100, "users that auth-fill and auth-seed make")
	flags.IntVar(&o.roles, "roles", 20, "roles that those have, two each")
	flags.IntVar(&o.ranges, "ranges", 50, "ranges of such a role")
	flags.StringVar(&o.ca, "ca", "", "file of the CA that has signed the server's certificate; without one there is no TLS")
	flags.StringVar(&o.cert, "cert", "", "file of the certificate that the generator shows")
	flags.StringVar(&o.key, "key", "", "file of its key")
	flags.StringVar(&o.directory, "directory", "", "where certificates are written")
	flags.BoolVar(&o.resumed, "resumed", false, "handshakes take up the session of one before")
	_ = flags.Parse(os.Args[2:])
	ctx := context.Background()
	err := o.identify(ctx)
	var measured result
	if err == nil {
		measured, err = works[os.Args[1]](ctx, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "load %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// result is what a work measured. Latencies are of single requests, in milliseconds.
type result struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	P50Ms      float64 `json:"p50Ms"`
	P99Ms      float64 `json:"p99Ms"`
	// Token is for those who make calls by themselves.
	Token string `json:"token,omitempty"`
	// Extra is what only this work measures.
	Extra map[string]float64 `json:"extra,omitempty"`
}

func measured(operations int, took time.Duration, latencies []time.Duration) result {
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	return result{Operations: operations, Seconds: took.Seconds(), P50Ms: percentile(latencies, 0.50), P99Ms: percentile(latencies, 0.99)}
}

// percentile is in milliseconds, of a sorted list.
func percentile(sorted []time.Duration, fraction float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(fraction*float64(len(sorted))))].Nanoseconds()) / 1e6
}

// retryDelay is the time between two attempts to connect: with gRPC's own, which grows from a second, what is measured
// of a server that starts would be when a client asks again.
const retryDelay = 2 * time.Millisecond

// dial makes n connections.
func dial(o options, n int) ([]*grpc.ClientConn, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if config != nil {
		transport = credentials.NewTLS(config)
	}
	made := make([]*grpc.ClientConn, 0, n)
	for range max(1, n) {
		connection, err := grpc.NewClient("passthrough:///"+o.endpoint,
			grpc.WithTransportCredentials(transport),
			grpc.WithPerRPCCredentials(bearer(o.token)),
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
				Backoff: backoff.Config{BaseDelay: retryDelay, Multiplier: 1, MaxDelay: retryDelay}}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<31-1)))
		if err != nil {
			return nil, err
		}
		made = append(made, connection)
	}
	return made, nil
}

func closeAll(connections []*grpc.ClientConn) {
	for _, connection := range connections {
		_ = connection.Close()
	}
}
