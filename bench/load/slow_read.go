// A client that asks for everything in one Range and reads the answer slowly, by HTTP/2's own flow control.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"
)

const slowReadBytes = 64 << 10

// slowRead reads at o.rate bytes per second for o.seconds and then as fast as it goes. extra.bytes is the
// size of the answer.
func slowRead(ctx context.Context, o options) (result, error) {
	message, err := proto.Marshal(&pb.RangeRequest{Key: []byte(keyPrefix), RangeEnd: []byte(keyPrefixEnd)})
	if err != nil {
		return result{}, err
	}
	body := append(make([]byte, 5), message...)
	binary.BigEndian.PutUint32(body[1:5], uint32(len(message)))
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+o.endpoint+"/etcdserverpb.KV/Range", bytes.NewReader(body))
	if err != nil {
		return result{}, err
	}
	request.Header.Set("content-type", "application/grpc")
	request.Header.Set("te", "trailers")
	client := &http.Client{Transport: &http2.Transport{AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}}
	began := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		return result{}, err
	}
	defer answer.Body.Close()
	total, err := drain(answer.Body, o, began)
	if err != nil {
		return result{}, err
	}
	if status := answer.Trailer.Get("grpc-status"); status != "0" {
		return result{}, fmt.Errorf("grpc-status %q %s", status, answer.Trailer.Get("grpc-message"))
	}
	return result{Operations: 1, Seconds: time.Since(began).Seconds(), Extra: map[string]float64{"bytes": float64(total)}}, nil
}

func drain(body io.Reader, o options, began time.Time) (int, error) {
	buffer := make([]byte, slowReadBytes)
	slowUntil := began.Add(time.Duration(o.seconds * float64(time.Second)))
	for total := 0; ; {
		n, err := body.Read(buffer)
		total += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		if o.rate > 0 && time.Now().Before(slowUntil) {
			time.Sleep(time.Duration(float64(n) / float64(o.rate) * float64(time.Second)))
		}
	}
}
