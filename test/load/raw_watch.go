// A watch stream read without a gRPC client.
package main

import (
	"bytes"
	"context"
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

// rawEvent is what the works want to know of an event. The value is gone with the next read.
type rawEvent struct {
	modRevision int64
	value       []byte
}

type rawWatch struct{ *rawConnection }

// openRawWatch opens a connection with o.watchers equal watchers on one stream and waits until all are created.
func openRawWatch(ctx context.Context, o options, create *pb.WatchCreateRequest) (*rawWatch, error) {
	connection, err := openRaw(ctx, o.endpoint)
	if err != nil {
		return nil, err
	}
	stream, err := connection.open(pb.Watch_Watch_FullMethodName)
	if err != nil {
		return nil, err
	}
	request, err := framed(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
	if err != nil {
		return nil, err
	}
	if err := connection.send(stream, bytes.Repeat(request, o.watchers)); err != nil {
		return nil, err
	}
	for created := 0; created < o.watchers; {
		if err := connection.frame(func(_ *rawStream, message []byte) error {
			return fields(message, func(field protowire.Number, number uint64, _ []byte) error {
				if field == fieldCreated {
					created++
				}
				return refused(field, number)
			})
		}); err != nil {
			return nil, err
		}
	}
	return &rawWatch{connection}, nil
}

// read takes one frame and calls each with every event that is complete with it.
func (w *rawWatch) read(each func(event rawEvent, at time.Time)) error {
	return w.frame(func(_ *rawStream, message []byte) error {
		at := time.Now()
		return fields(message, func(field protowire.Number, number uint64, event []byte) error {
			if field != fieldEvents {
				return refused(field, number)
			}
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
			each(found, at)
			return err
		})
	})
}

// refused is an error if the field says that a watcher gets nothing more.
func refused(field protowire.Number, number uint64) error {
	if field == fieldCanceled && number != 0 {
		return errors.New("the server cancelled a watcher")
	}
	return nil
}
