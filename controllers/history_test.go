package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// failingPast is an archive that answers with an error, or nothing.
type failingPast struct{ err error }

func (p *failingPast) Recall(context.Context, *journal.Archived, int64, func(*journal.Batch) error, func(*usage.Change)) error {
	return p.err
}

// The meters' conditions say why the history cannot be asked, until it can; and metering is
// ready all the same.
func TestAHistoryThatCannotBeReadIsTold(t *testing.T) {
	past := &failingPast{err: errors.New("no such bucket")}
	h := &history{Past: past, Log: logr.Discard(), Clock: clocktesting.NewFakeClock(noon)}
	health := &Health{History: h}
	for _, want := range []string{"no such bucket", "access denied", ""} {
		if past.err = nil; want != "" {
			past.err = errors.New(want)
		}
		if err := h.Recall(t.Context(), nil, 0, nil, nil); !errors.Is(err, past.err) {
			t.Fatal(err)
		}
		found := health.finding()
		if (found.message == "") != (want == "") || !strings.Contains(found.message, want) || found.reason != "" {
			t.Errorf("with %q: %+v", want, found)
		}
		if want != "" && !strings.Contains(found.message, text(noon)) {
			t.Errorf("it does not say since when: %s", found.message)
		}
	}
}

// A history that is too large for the memory ends no operator: a condition says so, and metering goes on.
func TestAHistoryThatDoesNotFitIsTold(t *testing.T) {
	store, now, _ := sealedDays(t, 1)
	h := &history{Log: logr.Discard(), Clock: now}
	j := journal.New(journal.Options{
		Store: store, Writer: "a", Cluster: "cluster", Clock: now, Log: logr.Discard(), OnlyTold: true,
		Fits: func(int64, int64) error { return errors.New("it takes 5 GiB") },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.follow(ctx, j) }()
	eventually(t, "the condition says so", func() bool { return strings.Contains(h.finding(), "5 GiB") })
	select {
	case err := <-done:
		t.Fatalf("it ended: %v", err)
	default:
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
