package usageapi

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/usage-operator/usage-operator/internal/fairqueue"
)

// An answer takes memory until it has been read, and a processor while it is made.
// Both are admitted fairly among tenants: memory by the most that the answer may take,
// which pages bound, and the processor in turns. An answer that waits, for its client
// or for the API server, gives its turn up meanwhile; one that takes long, after a
// quantum, if another tenant waits.

const (
	// defaultMemory bounds the answers that are being made or read, in bytes.
	defaultMemory = 64 << 20
	// memoryEach is the divisor for one tenant: a quarter of that.
	memoryEach = 4
	// waitingEach and waitingAll are how many requests may wait, of one tenant and all together.
	waitingEach, waitingAll = 64, 1024
	// memorySpare is the divisor for what of it is kept for tenants that have no answer under way.
	memorySpare = 4
	// turnsEach is how many turns one tenant has at most: fewer than the parts of the
	// timeline that may be computed at a time, so that it cannot block others from that.
	// One processor is left to what begins: while it is idle, the runtime waits for the
	// network with it, and a request is seen at once. While none is, that takes 10 ms.
	turnsEach = 3
	// quantum is how long a turn lasts at least before it goes to another tenant that waits.
	quantum = 500 * time.Microsecond
	// begun is how long what begins may have the processor that is left to that, if nothing else begins:
	// most small answers are made by then.
	begun = 2 * time.Millisecond
	// baseWeight is the memory of a request besides its answer, in bytes, approximately:
	// its connection's buffers, its goroutines, and what is written at once.
	baseWeight = 128 << 10
	// bodyWeight is how much memory a body takes for each of its bytes, once it is read.
	bodyWeight = 4
)

// weights are how many bytes an answer may take at most, by route.
const (
	// pageWeight is of a page of segments: maxSegments of them, and as many as JSON of
	// one resource.
	pageWeight = maxSegments * (segmentWeight + shownWeight)
	// rowsWeight is of a page of rows with all their groups, and of its JSON.
	rowsWeight = 4 << 20
	// streamWeight is of what is written row by row: a page of the timeline's.
	streamWeight = 1 << 20

	// leastPageWeight is of the smallest page of segments, of some 120: while many tenants hold
	// much, one that holds nothing has a page of what there is room for.
	leastPageWeight = 128 << 10

	// segmentWeight is about how many bytes a segment takes, and shownWeight, as it is shown.
	segmentWeight, shownWeight = 160, 900
)

// admission admits answers.
type admission struct {
	memory, working *fairqueue.Queue
}

func newAdmission(memory int64) *admission {
	if memory <= 0 {
		memory = defaultMemory
	}
	processors := int64(runtime.GOMAXPROCS(0))
	return &admission{
		memory: fairqueue.New(fairqueue.Limits{
			Total: memory, Flow: memory / memoryEach, Spare: memory / memorySpare, Waiting: waitingAll, FlowWaiting: waitingEach,
		}),
		working: fairqueue.New(fairqueue.Limits{Total: processors, Flow: max(1, min(processors-1, turnsEach)), Spare: min(1, processors-1)}),
	}
}

// Load is how much memory is admitted to answers, in bytes, and how many requests
// wait for some.
func (a *API) Load() fairqueue.Load {
	a.pins.expire() // it is asked for now and then, also while there are no requests
	return a.admission.memory.Load()
}

// serviceAccounts begins the names of service accounts.
const serviceAccounts = "system:serviceaccount:"

// tenantOf is the tenant that a user's answers are charged to: for service accounts it
// is their namespace, since a user who may create one may create a thousand.
func tenantOf(u user.Info) string {
	if account, is := strings.CutPrefix(u.GetName(), serviceAccounts); is {
		namespace, _, _ := strings.Cut(account, ":")
		return serviceAccounts + namespace
	}
	return u.GetName()
}

// admit waits until the answer may be made. It reads the body before the answer has a
// processor: a slow client delays only its own tenant.
func (c *call) admit(r *route) error {
	length := c.request.ContentLength
	if length < 0 || length > maxBody {
		length = maxBody
	}
	var err error
	weight, least := r.weight, cmp.Or(r.least, r.weight)
	fixed := baseWeight + bodyWeight*length
	if c.share, err = c.admission.memory.AcquireElastic(c.ctx, c.tenant, fixed+weight, fixed+least); err != nil {
		return tooBusy(err)
	}
	if c.segments = maxSegments; least < weight {
		c.segments = min(maxSegments, int((c.share.Weight()-fixed)/(segmentWeight+shownWeight)))
	}
	if length > 0 {
		// A recorder has no deadlines, and needs none.
		controller := http.NewResponseController(c.writer)
		_ = controller.SetReadDeadline(machine.Now().Add(writeWithin))
		text, err := io.ReadAll(c.request.Body)
		if err != nil {
			return c.unread(err)
		}
		_ = controller.SetReadDeadline(time.Time{})
		c.request.Body = io.NopCloser(bytes.NewReader(text))
	}
	return c.work()
}

// unread is why a body could not be read.
func (c *call) unread(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || c.ctx.Err() == nil && !isTimeout(err) {
		return err
	}
	return errGone
}

func isTimeout(err error) bool {
	timeout, is := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return is && timeout.Timeout()
}

// work waits for a processor: to begin, or to go on with what takes long.
func (c *call) work() error {
	take := c.admission.working.Resume
	if c.worked < begun {
		take = c.admission.working.Acquire
	}
	turn, err := take(c.ctx, c.tenant, 1)
	if err != nil {
		return tooBusy(err)
	}
	c.turn, c.turnBegan, c.wrote = turn, machine.Now(), false
	return nil
}

// pause gives the call's turn to another tenant if one waits and it has lasted a quantum, and
// waits for the next. It is called wherever much is done, and returns an error once there is
// no point in going on.
func (c *call) pause() error {
	if c.wrote {
		return c.work()
	}
	if c.turn == nil || machine.Since(c.turnBegan) < quantum {
		return c.ctx.Err()
	}
	c.worked += machine.Since(c.turnBegan)
	runtime.Gosched() // to what is no answer
	err := c.turn.Yield(c.ctx, c.worked < begun)
	c.turnBegan = machine.Now()
	return err
}

// writing gives the turn to others while something is written. The call takes another with
// its next pause: after the last bytes it needs none.
func (c *call) writing(write func() error) error {
	c.stop()
	c.wrote = c.turn != nil
	return write()
}

// pacer paces what the timeline computes for a call.
type pacer struct{ *call }

func (p pacer) Pause() error                    { return p.pause() }
func (p pacer) Rest(waiting func() error) error { return p.rest(waiting) }

// rest gives the call's turn to others while it waits for something.
func (c *call) rest(waiting func() error) error {
	if c.turn == nil { // it has none yet
		return waiting()
	}
	c.stop()
	err := waiting()
	if again := c.work(); err == nil {
		err = again
	}
	return err
}

// stop gives the turn up.
func (c *call) stop() {
	if c.turn != nil && c.turn.Weight() > 0 {
		c.worked += machine.Since(c.turnBegan)
	}
	c.turn.Release()
}

// takes reduces what was admitted to the bytes that the answer takes from now on.
func (c *call) takes(bytes int64) { c.share.Shrink(baseWeight + bytes) }

// done gives back what was admitted.
func (c *call) done() {
	c.turn.Release()
	c.share.Release()
}

// tooBusy is the problem for fairqueue.ErrFull, or the error itself.
func tooBusy(err error) error {
	if !errors.Is(err, fairqueue.ErrFull) {
		return err
	}
	return &problem{
		status: http.StatusTooManyRequests, code: "too_many_requests", retryAfter: 1,
		message: "as many of your requests wait to be answered as may: wait for their answers, and read them, before you ask for more",
	}
}
