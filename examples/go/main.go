// A client in Go, with etcd's own library: workers that take turns by a lock, which is tied to a lease, so that one
// that dies does not hold it for good.
//
//	go run . 127.0.0.1:2379
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	workers = 3
	counter = "example/counter"
)

func main() {
	endpoint := "127.0.0.1:2379"
	if len(os.Args) > 1 {
		endpoint = os.Args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(ctx, counter, "0"); err != nil {
		log.Fatal(err)
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			if err := work(ctx, client); err != nil {
				log.Fatal(err)
			}
		})
	}
	running.Wait()
	last, err := client.Get(ctx, counter)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d workers counted to %s\n", workers, last.Kvs[0].Value)
}

// work adds one to the counter while it holds the lock: without it, two could read the same number.
func work(ctx context.Context, client *clientv3.Client) error {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(5), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, "example/lock")
	if err := mutex.Lock(ctx); err != nil {
		return err
	}
	defer mutex.Unlock(ctx)
	found, err := client.Get(ctx, counter)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(string(found.Kvs[0].Value))
	if err != nil {
		return err
	}
	_, err = client.Put(ctx, counter, strconv.Itoa(number+1))
	return err
}
