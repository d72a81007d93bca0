// Package client uses netcd through etcd's own Go client, as programs do.
package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"netcd.test/member"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// waitMax bounds every test: whoever waits so long waits for what was lost.
const waitMax = time.Minute

func connect(t *testing.T, server *member.Member) (*clientv3.Client, context.Context) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, DialTimeout: waitMax, TLS: server.ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), waitMax)
	t.Cleanup(cancel)
	return client, ctx
}

func put(t *testing.T, ctx context.Context, client *clientv3.Client, key, value string) int64 {
	t.Helper()
	answer, err := client.Put(ctx, key, value)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.Revision
}

// events receives that many events.
func events(t *testing.T, channel clientv3.WatchChan, count int) (texts []string) {
	t.Helper()
	for len(texts) < count {
		response, open := <-channel
		if !open || response.Err() != nil {
			t.Fatalf("the watch ended after %v: %v", texts, response.Err())
		}
		for _, event := range response.Events {
			text := fmt.Sprintf("%s %s=%s", event.Type, event.Kv.Key, event.Kv.Value)
			if event.PrevKv != nil {
				text += " was " + string(event.PrevKv.Value)
			}
			texts = append(texts, text)
		}
	}
	return texts
}

func expect(t *testing.T, got []string, wanted ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Fatalf("got %q, wanted %q", got, wanted)
	}
}

// TestWatch is about options, progress and a compacted start.
func TestWatch(t *testing.T) {
	client, ctx := connect(t, member.StartNetcd(t, "--watch-progress-notify-interval=100ms"))
	first := put(t, ctx, client, "k/1", "a")
	all := client.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithPrevKV())
	deletes := client.Watch(ctx, "k/1", clientv3.WithFilterPut())
	// Its first notification says that it is there.
	notified := client.Watch(ctx, "nothing", clientv3.WithProgressNotify())
	if response := <-notified; !response.IsProgressNotify() {
		t.Fatalf("not a progress notification: %v", response)
	}
	put(t, ctx, client, "k/1", "b")
	if _, err := client.Delete(ctx, "k/1"); err != nil {
		t.Fatal(err)
	}
	last := put(t, ctx, client, "k/2", "c")
	expect(t, events(t, all, 4), "PUT k/1=a", "PUT k/1=b was a", "DELETE k/1= was b", "PUT k/2=c")
	expect(t, events(t, deletes, 1), "DELETE k/1=")
	for response := range notified {
		if response.IsProgressNotify() && response.Header.Revision == last {
			break
		}
	}
	if err := client.RequestProgress(ctx); err != nil {
		t.Fatal(err)
	}
	if response := <-all; !response.IsProgressNotify() || response.Header.Revision != last {
		t.Fatalf("not progress to revision %d: %v", last, response)
	}
	if _, err := client.Compact(ctx, last); err != nil {
		t.Fatal(err)
	}
	response := <-client.Watch(ctx, "k/1", clientv3.WithRev(first))
	if !errors.Is(response.Err(), rpctypes.ErrCompacted) || response.CompactRevision != last {
		t.Fatalf("a compacted start gave %v", response)
	}
}

// TestWatchOverRestart is about the client's resuming, after a kill and after a clean stop.
func TestWatchOverRestart(t *testing.T) {
	server := member.StartNetcd(t)
	client, ctx := connect(t, server)
	channel := client.Watch(ctx, "k", clientv3.WithRev(1))
	for i, end := range []func() error{server.Kill, server.Stop} {
		value := fmt.Sprint(i)
		put(t, ctx, client, "k", value)
		expect(t, events(t, channel, 1), "PUT k="+value)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	put(t, ctx, client, "k", "after")
	expect(t, events(t, channel, 1), "PUT k=after")
}
