// A watch stream read without a gRPC client.
package main

import (
	"bytes"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of WatchResponse, Event and KeyValue.
const (
	fieldCreated, fieldCanceled, fieldEvents = 3, 4, 11
	fieldKv, fieldModRevision, fieldValue    = 2, 3, 5
)

// rawEvent is what the works want to know of an event. The value is gone with the next one.
type rawEvent struct {
	modRevision int64
	value       []byte
	// at is when the event came.
	at time.Time
}

// openWatch opens a connection with o.watchers equal watchers on one stream and waits until all are created. From then
// on each is called with every event.
func (l *rawLoop) openWatch(o options, create *pb.WatchCreateRequest, each func(event rawEvent) error) error {
	connection, err := l.open(o.endpoint)
	if err != nil {
		return err
	}
	stream, err := connection.open(pb.Watch_Watch_FullMethodName)
	if err != nil {
		return err
	}
	request, err := framed(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
	if err != nil {
		return err
	}
	created := 0
	stream.each = func(message []byte) error {
		return fields(message, func(field protowire.Number, number uint64, event []byte) error {
			switch {
			case field == fieldCreated:
				created++
			case field == fieldCanceled && number != 0:
				return errors.New("the server cancelled a watcher")
			case field == fieldEvents:
				found, err := parseEvent(event)
				if err != nil {
					return err
				}
				found.at = connection.socket.at
				return each(found)
			}
			return nil
		})
	}
	if err := connection.send(stream, bytes.Repeat(request, o.watchers)); err != nil {
		return err
	}
	return l.turnWhile(func() bool { return created < o.watchers })
}

func parseEvent(event []byte) (rawEvent, error) {
	var found rawEvent
	err := fields(event, func(field protowire.Number, _ uint64, kv []byte) error {
		if field != fieldKv {
			return nil
		}
		return fields(kv, func(field protowire.Number, number uint64, bytes []byte) error {
			switch field {
			case fieldModRevision:
				found.modRevision = int64(number)
			case fieldValue:
				found.value = bytes
			}
			return nil
		})
	})
	return found, err
}
