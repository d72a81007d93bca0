// Filling a store. What goes over the wire is encoded before the time begins: encoding it costs about as much as storing it.
package main

import (
	"bytes"
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of TxnResponse.
const fieldSucceeded, fieldResponses = 2, 3

// key is the i-th key: 41 bytes, in order.
func key(i int) []byte { return fmt.Appendf(nil, "%s%0*d", keyStart, keyDigits, i) }

const (
	keyStart  = "bench/keys/of/fortyone/bytes/each/"
	keyDigits = 7

	keyPrefix    = "bench/keys/"
	keyPrefixEnd = "bench/keys0"
)

// txnTemplate is an encoded transaction of so many puts, in which only the numbers of the keys change.
type txnTemplate struct {
	framed []byte
	// digits are where the number of each key stands.
	digits []int
}

func newTxnTemplate(puts, valueBytes int) (*txnTemplate, error) {
	txn := &pb.TxnRequest{}
	value := make([]byte, valueBytes)
	for i := range puts {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key(i), Value: value}}})
	}
	encoded, err := framed(txn)
	if err != nil {
		return nil, err
	}
	template := &txnTemplate{framed: encoded}
	for at := 0; len(template.digits) < puts; at = template.digits[len(template.digits)-1] {
		template.digits = append(template.digits, at+bytes.Index(encoded[at:], []byte(keyStart))+len(keyStart))
	}
	return template, nil
}

// of is the transaction that puts keys first, first+1, …
func (t *txnTemplate) of(first int) []byte {
	for i, end := range t.digits {
		number := first + i
		for at := end + keyDigits - 1; at >= end; at-- {
			t.framed[at] = byte('0' + number%10)
			number /= 10
		}
	}
	return t.framed
}

// fill writes all keys in transactions; operations are keys, latencies of transactions.
func fill(ctx context.Context, o options) (result, error) {
	templates := make([]*txnTemplate, max(1, o.clients))
	for client := range templates {
		var err error
		if templates[client], err = newTxnTemplate(o.txn, o.valueBytes); err != nil {
			return result{}, err
		}
	}
	rest, err := newTxnTemplate(o.keys%o.txn, o.valueBytes)
	if err != nil {
		return result{}, err
	}
	// putsOf is how many the i-th transaction has.
	putsOf := func(i int) int { return min(o.txn, o.keys-i*o.txn) }
	latencies, took, err := closedLoop(o, (o.keys+o.txn-1)/o.txn, calls{
		method: pb.KV_Txn_FullMethodName,
		request: func(client, i int) ([]byte, error) {
			if putsOf(i) < o.txn {
				return rest.of(i * o.txn), nil
			}
			return templates[client].of(i * o.txn), nil
		},
		check: func(_, i int, answer []byte) error { return stored(answer, putsOf(i)) },
	})
	return measured(o.keys, took, latencies), err
}

// stored is an error unless the transaction has made so many puts.
func stored(answer []byte, puts int) error {
	succeeded, responses := false, 0
	err := fields(answer, func(field protowire.Number, number uint64, _ []byte) error {
		switch field {
		case fieldSucceeded:
			succeeded = number == 1
		case fieldResponses:
			responses++
		}
		return nil
	})
	if err == nil && (!succeeded || responses != puts) {
		err = fmt.Errorf("a transaction of %d puts has %d answers, succeeded: %v", puts, responses, succeeded)
	}
	return err
}
