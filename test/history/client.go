// Clients that ask at random and remember every answer, and every answer that did not come.
package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	// A client waits this long for an answer, at least and at most; then it may or may not have been done.
	answerWaitMin = 500 * time.Millisecond
	answerWaitMax = 3 * time.Second
	// keyCount keys are fought over by all clients.
	keyCount = 6
)

// Recorder runs clients over the members of a cluster. Each client goes to another member now and then.
type Recorder struct {
	Members []*member.Member
	// PauseMax bounds the time between two operations of a client.
	PauseMax time.Duration

	start      time.Time
	cancel     context.CancelFunc
	running    sync.WaitGroup
	mutex      sync.Mutex
	operations []*Operation
	clients    int
}

// NewRecorder starts the clock of a recording.
func NewRecorder(members []*member.Member, pauseMax time.Duration) *Recorder {
	return &Recorder{Members: members, PauseMax: pauseMax, start: time.Now()}
}

// Start runs so many clients until Stop.
func (r *Recorder) Start(ctx context.Context, seed uint64, count int) error {
	ctx, r.cancel = context.WithCancel(ctx)
	for range count {
		client, err := r.Client(seed)
		if err != nil {
			r.Stop()
			return err
		}
		r.running.Go(func() {
			defer client.Close()
			client.run(ctx)
		})
	}
	return nil
}

// Stop ends the clients after their last operation.
func (r *Recorder) Stop() {
	if r.cancel != nil {
		r.cancel()
	}
	r.running.Wait()
}

// Operations is everything that was recorded; unknown of them have no answer.
func (r *Recorder) Operations() (all []*Operation, unknown int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, one := range r.operations {
		if one.unknown() {
			unknown++
		}
	}
	return r.operations, unknown
}

// Client asks through one member at a time and waits for each answer.
type Client struct {
	id, sequence int
	recorder     *Recorder
	random       *rand.Rand
	connections  []*grpc.ClientConn
	// at is the member that it asks; seen are the newest mod revisions of keys that it knows.
	at   int
	seen map[string]int64
}

// Client makes one more client, whose choices follow from the seed.
func (r *Recorder) Client(seed uint64) (*Client, error) {
	r.mutex.Lock()
	id := r.clients
	r.clients++
	r.mutex.Unlock()
	client := &Client{id: id, recorder: r, random: rand.New(rand.NewPCG(seed, uint64(id))), seen: map[string]int64{}}
	for _, one := range r.Members {
		connection, err := one.Dial()
		if err != nil {
			client.Close()
			return nil, err
		}
		client.connections = append(client.connections, connection)
	}
	client.at = client.random.IntN(len(r.Members))
	return client, nil
}

// Close closes the client's connections.
func (c *Client) Close() {
	for _, connection := range c.connections {
		// Nothing is in flight, and nothing can be done about an error.
		_ = connection.Close()
	}
}

func (c *Client) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := answerWaitMin + time.Duration(c.random.Int64N(int64(answerWaitMax-answerWaitMin)))
		if err := c.Do(context.Background(), c.at, c.choose(), wait); err != nil || c.random.IntN(20) == 0 {
			c.at = c.random.IntN(len(c.connections))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(c.random.Int64N(int64(c.recorder.PauseMax)))):
		}
	}
}

// Key is one of the keys that the clients use.
func Key(n int) string { return fmt.Sprintf("%c", 'a'+n%keyCount) }

// choose makes a request: 3 of 10 are puts, 2 swaps, 1 a delete, 4 reads of which one is serializable.
func (c *Client) choose() Request {
	request := Request{Key: Key(c.random.IntN(keyCount))}
	switch c.random.IntN(10) {
	case 0, 1, 2:
		request.Kind, request.Value = Put, c.value()
	case 3, 4:
		request.Kind, request.Value, request.Copy = Swap, c.value(), request.Key+"'"
		request.Expected = c.seen[request.Key]
	case 5:
		request.Kind = Delete
	case 6:
		request.Kind, request.Key, request.End = Read, "a", "z"
	case 7:
		request.Kind, request.Key, request.End, request.Serializable = Read, "a", "z", true
	default:
		request.Kind = Read
	}
	return request
}

func (c *Client) value() string {
	c.sequence++
	return fmt.Sprintf("%d.%d", c.id, c.sequence)
}

// Put writes a value of the client's own through one member, recorded as all else.
func (c *Client) Put(ctx context.Context, at int, key string, wait time.Duration) error {
	return c.Do(ctx, at, Request{Kind: Put, Key: key, Value: c.value()}, wait)
}

// Do asks the member and records the operation. Its error says that no answer came.
func (c *Client) Do(ctx context.Context, at int, request Request, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	made := &Operation{Client: c.id, Request: request, Through: c.recorder.Members[at].Label}
	made.Call = time.Since(c.recorder.start)
	answer, err := ask(ctx, pb.NewKVClient(c.connections[at]), request)
	made.Return = time.Since(c.recorder.start)
	made.Answer = answer
	if err != nil {
		made.Answer, made.Return, made.Problem = Answer{}, never, err.Error()
	}
	c.remember(made)
	c.recorder.mutex.Lock()
	defer c.recorder.mutex.Unlock()
	c.recorder.operations = append(c.recorder.operations, made)
	return err
}

// remember keeps what the answer tells of the keys' mod revisions.
func (c *Client) remember(made *Operation) {
	if made.unknown() {
		return
	}
	c.seen[made.Request.Key] = 0
	for _, pair := range made.Answer.Pairs {
		c.seen[pair.Key] = pair.Modify
	}
	if made.wrote() && made.Request.Kind != Delete {
		c.seen[made.Request.Key] = made.Answer.Revision
	} else if made.wrote() {
		c.seen[made.Request.Key] = 0
	}
}

// ask is the request as a call of the KV service.
func ask(ctx context.Context, kv pb.KVClient, request Request) (Answer, error) {
	key := []byte(request.Key)
	switch request.Kind {
	case Put:
		answer, err := kv.Put(ctx, &pb.PutRequest{Key: key, Value: []byte(request.Value), PrevKv: true})
		return Answer{Revision: answer.GetHeader().GetRevision(), Pairs: pairsOf(answer.GetPrevKv())}, err
	case Delete:
		answer, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key, PrevKv: true})
		return Answer{Revision: answer.GetHeader().GetRevision(), Pairs: pairsOf(answer.GetPrevKvs()...)}, err
	case Swap:
		answer, err := kv.Txn(ctx, swap(request))
		made := Answer{Revision: answer.GetHeader().GetRevision(), Succeeded: answer.GetSucceeded()}
		if err == nil && !made.Succeeded {
			made.Pairs = pairsOf(answer.Responses[0].GetResponseRange().GetKvs()...)
		}
		return made, err
	default:
		answer, err := kv.Range(ctx, &pb.RangeRequest{Key: key, RangeEnd: []byte(request.End), Serializable: request.Serializable})
		return Answer{Revision: answer.GetHeader().GetRevision(), Pairs: pairsOf(answer.GetKvs()...)}, err
	}
}

func swap(request Request) *pb.TxnRequest {
	put := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(request.Value)}}}
	}
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte(request.Key), Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: request.Expected}}},
		Success: []*pb.RequestOp{put(request.Key), put(request.Copy)},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(request.Key)}}}},
	}
}
