package sender_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/hub/verification"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

var errLost = errors.New("lost")

// unlucky loses requests, and answers, and has some refused that would not be, as long as it is so.
func unlucky(t *rapid.T, is *bool) http.RoundTripper {
	return &transport{do: func(r *http.Request) (*http.Response, error) {
		fate := 0
		if *is {
			fate = rapid.IntRange(0, 7).Draw(t, "fate")
		}
		switch fate {
		case 1:
			return nil, errLost
		case 2:
			answer := httptest.NewRecorder()
			answer.WriteHeader(http.StatusBadGateway)
			return answer.Result(), nil
		case 3:
			if answer, err := http.DefaultTransport.RoundTrip(r); err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			return nil, errLost
		}
		return http.DefaultTransport.RoundTrip(r)
	}}
}

// drawn is a batch of changes of a few segments, so that they meet.
func (c *cluster) drawn(t *rapid.T) *journal.Batch {
	c.n++
	batch := &journal.Batch{Time: start - 1000 + c.n}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		kind := rapid.SampledFrom([]usage.ChangeKind{usage.Put, usage.Put, usage.Void, usage.Less, usage.More}).Draw(t, "kind")
		change := usage.Change{Kind: kind, Segment: usage.Segment{
			Meter: "vm", Subject: &usage.Subject{Resource: usage.Object{UID: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "uid")}},
			Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: c.n,
			Start: usage.Boundary{At: start + rapid.Int64Range(1, 3).Draw(t, "start"), Evidence: usage.Observed},
		}}
		if rapid.Bool().Draw(t, "ended") {
			change.End = usage.Boundary{At: start + rapid.Int64Range(3, 4).Draw(t, "end"), Evidence: usage.Observed} // some have no length
		}
		batch.Changes = append(batch.Changes, change)
	}
	if rapid.IntRange(0, 3).Draw(t, "unseen") == 0 {
		batch.Coverage = []usage.Stretch{{Meter: "vm", Window: usage.Window{Start: start + c.n, End: start + c.n + 1}, Coverage: usage.CoverageUnknown}}
	}
	return batch
}

// compare compares what the hub has with what the journal says.
func (c *cluster) compare(t *rapid.T) {
	report, err := verification.Verify(context.Background(), c.store, c.uid, now, nil)
	if err != nil || !report.OK() {
		t.Fatalf("the hub's ledger does not add up: %v, %+v", err, report)
	}
	own, err := journal.New(journal.Options{Store: c.blocks, Cluster: string(c.uid), Clock: now, Log: logr.Discard()}).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	segments, coverage := c.added(t)
	order := func(changes []usage.Change) []usage.Change {
		slices.SortStableFunc(changes, func(a, b usage.Change) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Compare(b.Segment)) })
		return changes
	}
	diff := gocmp.Diff(order(own.Segments), order(segments), cmpopts.EquateEmpty()) + gocmp.Diff(own.Coverage, coverage, cmpopts.EquateEmpty())
	if diff != "" || report.Blocks.Sequence != own.Sequence || own.Sequence > 0 && report.Blocks.Head != own.Head.String() {
		t.Fatalf("the journal's is -, the hub's +:\n%s", diff)
	}
}

// Requests and answers are lost, the sender restarts, blocks are merged behind it and before
// it, and deleted: the hub's ledger is the journal's own.
func TestSendsThroughAnything(t *testing.T) {
	s, url := (&hubs{server: postgres.Start(t)}).open(t)
	merged := 0
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, s, url)
		is := true
		c.client.HTTP = &http.Client{Transport: unlucky(t, &is)}
		at := c.sender()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step < 5:
				if err := c.Append(context.Background(), c.drawn(t)); err != nil {
					t.Fatal(err)
				}
			case step == 5:
				if _, err := c.Compact(context.Background()); err != nil {
					t.Fatal(err)
				}
			case step == 6:
				at = c.sender() // a restart
			default:
				at.Step(context.Background())
			}
			if status := at.Status(); reason(status) != "" {
				t.Fatalf("refused: %v", status.Err)
			}
		}
		is = false
		now.Step(time.Minute) // what was merged and deleted before it was seen is found by then
		if status := finish(at); status.Err != nil {
			t.Fatalf("with nothing in the way: %v", status.Err)
		}
		c.compare(t)
		for _, block := range c.kept(t, s) {
			if block.Key.From != block.Key.To {
				merged++
			}
		}
	})
	if merged == 0 {
		t.Error("no merged block was sent")
	}
}
