// Those who read, write and watch in TestRightsInTheLogsOrder, and write down what became of it.
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netcd.test/history"
	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	actorPause = 4 * time.Millisecond
	// actorWait is how long an answer is waited for: longer than a member is stopped.
	actorWait = 5 * time.Second
)

// deed is what is written down of a call.
type deed struct {
	history.Deed
	// undone says that its answer was an error that leaves no doubt.
	undone bool
}

// actor is one client of one member, as a user or (the empty name) as nobody.
type actor struct {
	*order
	through *member.Member
	user    string
	random  *rand.Rand
	id, did int
}

func newActor(o *order, through *member.Member, user string, seed uint64, id int) *actor {
	return &actor{order: o, through: through, user: user, id: id, random: rand.New(rand.NewPCG(seed, uint64(100+id)))}
}

// request is what is asked for: which keys it reads and writes, and the call, which tells the revision of the answer
// and whether it is the call's own.
type request struct {
	name          string
	reads, writes []span
	value         string
	stale         bool
	call          func(ctx context.Context, kv pb.KVClient) (revision int64, wrote bool, err error)
}

// act asks for one thing after the other until the context ends.
func (a *actor) act(ctx context.Context) func() {
	return func() {
		connection, err := a.through.Dial()
		if err != nil {
			panic(err)
		}
		defer connection.Close()
		kv, auth := pb.NewKVClient(connection), pb.NewAuthClient(connection)
		with, who := a.logIn(ctx, a.user, auth)
		for ctx.Err() == nil {
			if a.do(with, who, kv) != nil {
				with, who = a.logIn(ctx, a.user, auth)
			}
			time.Sleep(time.Duration(a.random.Int64N(int64(actorPause))))
		}
	}
}

// do makes one call. An error says that the caller should log in anew.
func (a *actor) do(with context.Context, who string, kv pb.KVClient) error {
	// What is under way at the end is answered, or nobody would know of it.
	with, cancel := context.WithTimeout(context.WithoutCancel(with), actorWait)
	defer cancel()
	asked := a.choose()
	made := &deed{Deed: history.Deed{
		Name:      fmt.Sprintf("%s by %q through %s", asked.name, who, a.through.Label),
		Stale:     asked.stale,
		Permitted: func(era int) bool { return a.eras[era].permit(who, asked.reads, asked.writes) },
	}}
	made.Call = a.now()
	revision, wrote, err := asked.call(with, kv)
	made.Return, made.Revision, made.Kind = a.now(), revision, history.Seen
	if wrote {
		made.Kind = history.Written
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if asked.value != "" {
		a.written[asked.value] = made
	}
	switch text := status.Convert(err).Message(); {
	case err == nil:
		a.done.Add(1)
		a.deeds = append(a.deeds, &made.Deed)
		return nil
	case status.Code(err) == codes.PermissionDenied || text == "etcdserver: user name is empty" && who == "":
		a.refused.Add(1)
		made.undone, made.Kind = true, history.Refused
		a.deeds = append(a.deeds, &made.Deed)
		if who != a.user {
			return err
		}
		return nil
	case status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.InvalidArgument:
		made.undone = true
		return err
	default:
		made.Kind, made.Return = history.Written, history.Never
		return err
	}
}

// choose makes a request: half of them write.
func (a *actor) choose() request {
	key := orderKeys[a.random.IntN(len(orderKeys))]
	a.did++
	value := fmt.Sprintf("%d.%d", a.id, a.did)
	switch a.random.IntN(8) {
	case 0, 1:
		return request{name: "put " + key.key + " " + value, writes: []span{key}, value: value, call: func(ctx context.Context, kv pb.KVClient) (int64, bool, error) {
			answer, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key.key), Value: []byte(value)})
			return answer.GetHeader().GetRevision(), true, err
		}}
	case 2:
		return a.txn(key, value)
	case 3:
		return request{name: "delete " + key.key, writes: []span{key}, call: func(ctx context.Context, kv pb.KVClient) (int64, bool, error) {
			answer, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key.key)})
			return answer.GetHeader().GetRevision(), answer.GetDeleted() > 0, err
		}}
	case 4:
		return a.readTxn(key)
	case 5:
		return a.rangeOf(orderAll, false)
	default:
		return a.rangeOf(key, a.random.IntN(2) == 0)
	}
}

func (a *actor) rangeOf(keys span, serializable bool) request {
	name := fmt.Sprintf("range %s, serializable %v", keys, serializable)
	return request{name: name, reads: []span{keys}, stale: serializable, call: func(ctx context.Context, kv pb.KVClient) (int64, bool, error) {
		answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(keys.key), RangeEnd: []byte(keys.end), Serializable: serializable})
		return answer.GetHeader().GetRevision(), false, err
	}}
}

// txn writes one key and reads the other.
func (a *actor) txn(key span, value string) request {
	other := orderKeys[0]
	if key == other {
		other = orderKeys[1]
	}
	ops := []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(other.key)}}},
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key.key), Value: []byte(value)}}},
	}
	return request{name: "txn " + key.key + " " + value, reads: []span{other}, writes: []span{key}, value: value, call: func(ctx context.Context, kv pb.KVClient) (int64, bool, error) {
		answer, err := kv.Txn(ctx, &pb.TxnRequest{Success: ops})
		return answer.GetHeader().GetRevision(), true, err
	}}
}

func (a *actor) readTxn(key span) request {
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key.key)}}}
	return request{name: "txn that reads " + key.key, reads: []span{key}, call: func(ctx context.Context, kv pb.KVClient) (int64, bool, error) {
		answer, err := kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{op}})
		return answer.GetHeader().GetRevision(), false, err
	}}
}

// watch watches until the context ends; a watch that is cancelled is opened again.
func (a *actor) watch(ctx context.Context) func() {
	return func() {
		connection, err := a.through.Dial()
		if err != nil {
			panic(err)
		}
		defer connection.Close()
		for ctx.Err() == nil {
			with, who := a.logIn(ctx, a.user, pb.NewAuthClient(connection))
			a.stream(with, who, connection)
			time.Sleep(actorPause)
		}
	}
}

// stream watches all keys, or one, until that is ended.
func (a *actor) stream(ctx context.Context, who string, connection *grpc.ClientConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := orderSpans[a.random.IntN(len(orderSpans))]
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err != nil {
		return
	}
	create := &pb.WatchCreateRequest{Key: []byte(keys.key), RangeEnd: []byte(keys.end)}
	if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}) != nil {
		return
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return
		}
		if answer.Canceled {
			if !answer.Created {
				a.cancelled.Add(1)
			}
			return
		}
		for _, event := range answer.Events {
			a.told.Add(1)
			a.note(&history.Deed{
				Name:      fmt.Sprintf("an event of %s for %q, who watches %s through %s", event.Kv.Key, who, keys, a.through.Label),
				Return:    a.now(),
				Revision:  event.Kv.ModRevision,
				Kind:      history.Told,
				Permitted: func(era int) bool { return a.eras[era].permit(who, []span{keys}, nil) },
			})
		}
	}
}

func (a *actor) note(deed *history.Deed) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.deeds = append(a.deeds, deed)
}
