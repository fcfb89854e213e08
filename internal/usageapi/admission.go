package usageapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/usage-operator/usage-operator/internal/fairqueue"
)

// What an answer takes is memory, for as long as it is read, and a processor, while
// it is made. Both are admitted fairly among tenants: memory by what the answer may
// take at most, which is bounded by pages; a processor in turns, and an answer that
// waits, for a client that reads or for the API server, has none meanwhile.

const (
	// defaultMemory is how many bytes all answers may take that are being made or read.
	defaultMemory = 64 << 20
	// memoryEach is which part of that one tenant may take.
	memoryEach = 4
	// waitingEach and waitingAll are how many requests may wait, of one tenant and all together.
	waitingEach, waitingAll = 64, 1024
	// baseWeight is about what a request takes before anything is answered, in bytes: its
	// connection's buffers, its goroutines, and what is written at once.
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
		memory:  fairqueue.New(fairqueue.Limits{Total: memory, Flow: memory / memoryEach, Waiting: waitingAll, FlowWaiting: waitingEach}),
		working: fairqueue.New(fairqueue.Limits{Total: 2 * processors, Flow: processors}),
	}
}

// Load is how much memory is admitted to answers, in bytes, and how many requests
// wait for some.
func (a *API) Load() fairqueue.Load { return a.admission.memory.Load() }

// serviceAccounts begins the names of service accounts.
const serviceAccounts = "system:serviceaccount:"

// tenantOf is on whose account a user's answers are made: of service accounts it is
// their namespace, for who may make one there may make a thousand.
func tenantOf(u user.Info) string {
	if account, is := strings.CutPrefix(u.GetName(), serviceAccounts); is {
		namespace, _, _ := strings.Cut(account, ":")
		return serviceAccounts + namespace
	}
	return u.GetName()
}

// admit waits until the answer may be made. It reads the body before the answer has a
// processor: a client that takes its time has its own tenant wait.
func (c *call) admit(weight int64) error {
	length := c.request.ContentLength
	if length < 0 || length > maxBody {
		length = maxBody
	}
	var err error
	if c.share, err = c.admission.memory.Acquire(c.ctx, c.tenant, baseWeight+weight+bodyWeight*length); err != nil {
		return tooBusy(err)
	}
	if length > 0 {
		// A recorder has no deadlines, and needs none.
		controller := http.NewResponseController(c.writer)
		_ = controller.SetReadDeadline(c.Clock.Now().Add(writeWithin))
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

// work waits for a processor.
func (c *call) work() error {
	turn, err := c.admission.working.Acquire(c.ctx, c.tenant, 1)
	if err != nil {
		return tooBusy(err)
	}
	c.turn = turn
	return nil
}

// rest has others work while the call waits for something.
func (c *call) rest(waiting func() error) error {
	if c.turn == nil { // it has none yet
		return waiting()
	}
	c.turn.Release()
	err := waiting()
	if again := c.work(); err == nil {
		err = again
	}
	return err
}

// takes says how much memory the answer takes from now on, which is less than was
// admitted.
func (c *call) takes(bytes int64) { c.share.Shrink(baseWeight + bytes) }

// done gives back what was admitted.
func (c *call) done() {
	c.turn.Release()
	c.share.Release()
}

// tooBusy is that as much waits as may, or the error itself.
func tooBusy(err error) error {
	if !errors.Is(err, fairqueue.ErrFull) {
		return err
	}
	return &problem{
		status: http.StatusTooManyRequests, code: "too_many_requests", retryAfter: 1,
		message: "as many of your requests wait to be answered as may: wait for their answers, and read them, before you ask for more",
	}
}
