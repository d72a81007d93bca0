// Clients that page through ranges, as Kubernetes lists with a limit: the first page of a range and, from the key behind
// the last one that came, at the revision of the first page, the pages after it.
package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of RangeResponse and of its header.
const (
	fieldHeader, fieldKvs, fieldMore, fieldCount = 1, 2, 3, 4
	fieldRevision                                = 3
	// fieldKey is of KeyValue.
	fieldKey = 1
)

// placesSeed decides where the ranges begin, the same for every server.
const placesSeed = 3

// page is what a work looks at in the answer to a range.
type page struct {
	revision    int64
	count, keys int
	more        bool
	last        []byte
}

func parsePage(answer []byte) (page, error) {
	var found page
	err := fields(answer, func(field protowire.Number, number uint64, bytes []byte) error {
		switch field {
		case fieldHeader:
			return fields(bytes, func(field protowire.Number, number uint64, _ []byte) error {
				if field == fieldRevision {
					found.revision = int64(number)
				}
				return nil
			})
		case fieldKvs:
			found.keys++
			found.last = bytes
		case fieldMore:
			found.more = number == 1
		case fieldCount:
			found.count = int(number)
		}
		return nil
	})
	if err != nil || found.last == nil {
		return found, err
	}
	err = fields(found.last, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field == fieldKey {
			found.last = bytes
		}
		return nil
	})
	return found, err
}

// pager is one client and where it is.
type pager struct {
	random *rand.Rand
	// first is the number of the range's first key, read how many of its keys were read, in so many pages.
	first, read, pages int
	request            *pb.RangeRequest
}

// pages reads o.pages pages of o.limit out of ranges of o.span keys that begin at random places of the fill.
func pages(ctx context.Context, o options) (result, error) {
	pagers := make([]*pager, max(1, o.clients))
	for client := range pagers {
		pagers[client] = &pager{random: rand.New(rand.NewPCG(placesSeed, uint64(client)))}
		pagers[client].moveOn(o)
	}
	latencies, took, err := closedLoop(o, o.requests, calls{
		method:  pb.KV_Range_FullMethodName,
		request: func(client, _ int) ([]byte, error) { return framed(pagers[client].request) },
		check:   func(client, _ int, answer []byte) error { return pagers[client].turn(o, answer) },
	})
	return measured(o.requests, took, latencies), err
}

func (p *pager) moveOn(o options) {
	p.first, p.read, p.pages = p.random.IntN(o.keys-o.span+1), 0, 0
	p.request = &pb.RangeRequest{Key: key(p.first), RangeEnd: key(p.first + o.span), Limit: int64(o.limit)}
}

// turn checks a page and asks for the one after it, or for the first of another range.
func (p *pager) turn(o options, answer []byte) error {
	got, err := parsePage(answer)
	if err != nil {
		return err
	}
	left := o.span - p.read
	p.read += got.keys
	p.pages++
	if got.count != left || got.keys != min(o.limit, left) || got.more != (got.keys < left) || string(got.last) != string(key(p.first+p.read-1)) {
		return fmt.Errorf("page %d from key %d: %d keys up to %q, counted %d of %d, more: %v", p.pages, p.first, got.keys, got.last, got.count, left, got.more)
	}
	if !got.more || p.pages == o.pages {
		p.moveOn(o)
		return nil
	}
	p.request.Key = append(got.last, 0)
	p.request.Revision = got.revision
	return nil
}
