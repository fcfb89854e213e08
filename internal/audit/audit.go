// Package audit tells whether a ledger adds up: whether every block of the
// journal is what was written, every sealed interval is what its segments say,
// and every Final record is what the sealed interval says.
//
// It reads, and writes nothing. What it recomputes, it recomputes with the same
// pure functions that the operator uses (ledger.Digest, record.For), from what
// is stored alone.
package audit

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Blocks reads the journal.
type Blocks interface {
	// List hands out every block, as they were at one moment.
	List(ctx context.Context, each func(journal.Stored) error) error
	// Get is one block.
	Get(ctx context.Context, key journal.Key) (journal.Stored, error)
}

// Records reads what is published.
type Records interface {
	// List hands out every record of every namespace.
	List(ctx context.Context, each func(*Published) error) error
}

// Reports reads what reports say.
type Reports interface {
	// List hands out every report, of every namespace and of the cluster.
	List(ctx context.Context, each func(*PublishedReport) error) error
	// Namespaces are the UIDs of the namespaces that there are, by name.
	Namespaces(ctx context.Context) (map[string]string, error)
}

// Input is what is verified.
type Input struct {
	Blocks  Blocks
	Records Records
	// Reports may be nil: there are none.
	Reports Reports
	// Past reads what the journal has left out; nil: there is no archive.
	Past journal.Past
	// Namespace is the operator's own: records of namespaces that are gone are there.
	Namespace string
	// From and To bound the intervals whose content is recomputed, in seconds
	// since the epoch: those that start at From or later, and end at To or
	// earlier. To may be 0: there is no bound. The journal is always read as a whole.
	From, To int64
	// Seal is the digest of a seal that there was once; zero: none is known.
	Seal  journal.Digest
	Clock clock.Clock
	// Progress is told how far it has come; total is 0 where that is not known.
	Progress func(doing string, done, total int)
}

// Verify recomputes everything. The error says why something could not be read;
// that something is not as it should be is in the report.
func Verify(ctx context.Context, in Input) (*Report, error) {
	if in.To == 0 {
		in.To = math.MaxInt64
	}
	if in.Progress == nil {
		in.Progress = func(string, int, int) {}
	}
	began := in.Clock.Now()
	a := &auditor{Input: in, report: &Report{}}
	// Before the journal, which has all that they say by then.
	if err := a.readReports(ctx); err != nil {
		return nil, err
	}
	if err := a.readJournal(ctx); err != nil {
		return nil, err
	}
	a.verifySeals()
	a.verifyKept()
	if err := a.verifyRecords(ctx); err != nil {
		return nil, err
	}
	a.verifyReports()
	a.report.Seconds = in.Clock.Since(began).Round(100 * time.Millisecond).Seconds()
	return a.report, nil
}

// auditor is one verification at work.
type auditor struct {
	Input
	report *Report
	state  *journal.State
	held   *holdings
	// coverage is the state's, to be cut to one interval after the other.
	coverage usage.Stretches
	sealed   map[int64]usage.Window // by start
	limits   map[int64]usage.Limits // that bind an interval's records, by its start
	// sealedAt is when the seals were committed, by the starts of their intervals;
	// at the latest.
	sealedAt map[int64]int64
	// archived are the blocks that say what is in the archive.
	archived []archived
	// sealsDone is the end of the last interval whose seal was verified.
	sealsDone int64
	// reports are all that there are, and namespaces those that there are, by name.
	reports    []*PublishedReport
	namespaces map[string]string
	timeline   timelines.Follower // of what the journal has; nothing where there are no reports
	// blamed are blocks with a difference that is counted already.
	blamed map[journal.Key]bool
}

// archived is up to when a block says that it is archived, and when its last entry was written.
type archived struct{ until, at int64 }

// readJournal reads every block, checks each of them and their chain, and adds
// up what they say.
func (a *auditor) readJournal(ctx context.Context) error {
	a.blamed, a.sealedAt, a.archived = map[journal.Key]bool{}, map[int64]int64{}, nil
	options := journal.Options{Store: &checked{auditor: a}, Clock: a.Clock, Log: logr.Discard(), Past: a.Past}
	if len(a.reports) > 0 {
		a.timeline = timelines.New()
		options.Follower = a.timeline
	}
	state, err := journal.New(options).Load(ctx)
	var damage *journal.DamageError
	if err != nil && !errors.As(err, &damage) {
		return err
	}
	if damage != nil {
		for _, problem := range damage.Problems {
			a.damaged(problem)
		}
	}
	a.state, a.held = state, hold(state.Segments)
	a.sealed, a.limits = sealed(state.Seals)
	a.coverage = usage.Stretches{}.With(state.Coverage...)
	a.report.journal(state, state.Head)
	return nil
}

// damaged reports what is wrong with a stretch of the journal, unless a block in
// it was reported already.
func (a *auditor) damaged(problem journal.Problem) {
	for key := range a.blamed {
		if key.From <= problem.To && problem.From <= key.To {
			return
		}
	}
	a.report.differ(Difference{In: InBlock, Name: problem.Key.String(), Field: string(problem.Fault), Detail: problem.Detail})
}

// inRange tells whether an interval's content is to be recomputed.
func (a *auditor) inRange(start, end int64) bool { return start >= a.From && end <= a.To }
