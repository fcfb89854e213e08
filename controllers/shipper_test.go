package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/journal"
)

// shipment is a journal with entries of each ten seconds.
type shipment struct {
	end      uint64
	began    int64
	withheld uint64
}

func (s *shipment) Get(context.Context, journal.Key) (journal.Stored, error) {
	return journal.Stored{}, journal.ErrNotFound
}
func (s *shipment) Keys(context.Context) ([]journal.Key, error) { return nil, nil }

func (s *shipment) Reached(sequence uint64) (uint64, int64) {
	return s.end, s.began + 10*int64(max(sequence, 1))
}

func (s *shipment) Withheld() (uint64, bool) { return s.withheld, s.withheld > 0 }

// What people are told is what is so: a hub that does not answer for a moment is no news, and
// each reason is announced once.
func TestWhatIsToldOfTheHub(t *testing.T) {
	now := clocktesting.NewFakeClock(time.Unix(midnight, 0))
	of := &shipment{end: 4, began: midnight - 40}
	var events []string
	changed := 0
	s := &Shipper{Changed: func() { changed++ }, Log: logr.Discard(), Clock: now, Journal: of, Announce: func(a announcement) { events = append(events, a.reason) }}
	refused := &sender.Refusal{Reason: "Forked", Detail: "another block is there", Next: "Look which is the clone"}
	status := sender.Status{}
	check := func(what string, wait time.Duration, err error, want string, said ...string) {
		t.Helper()
		now.Step(wait)
		status.Err = err
		s.stepped(status)
		got := s.condition()
		if string(got.Status)+"/"+got.Reason != want {
			t.Errorf("%s: %s/%s: %s, want %s", what, got.Status, got.Reason, got.Message, want)
		}
		for _, text := range said {
			if !strings.Contains(got.Message, text) {
				t.Errorf("%s: %q does not say %q", what, got.Message, text)
			}
		}
		if finding := s.finding(); (finding == "") != (got.Status != "False") {
			t.Errorf("%s: the meters say %q", what, finding)
		}
	}
	failed := errors.New("connection refused")
	if s.Acknowledged() != 0 {
		t.Error("something is acknowledged, and the hub was not asked yet")
	}
	check("at first", 0, nil, "Unknown/HubConnecting")
	status.Known, status.Acknowledged = true, 3
	check("it has most", 0, nil, "True/HubAcknowledged", "3 of 4 entries", "lag 10s")
	acknowledged := func(want uint64) {
		t.Helper()
		if s.Acknowledged() != want {
			t.Errorf("%d is acknowledged, want %d", s.Acknowledged(), want)
		}
	}
	acknowledged(0) // it only says so
	status.Proven = true
	check("it has taken a block", 0, nil, "True/HubAcknowledged")
	acknowledged(3)
	check("it does not answer once", time.Second, failed, "True/HubAcknowledged")
	check("it answers", time.Second, nil, "True/HubAcknowledged")
	check("it does not answer", time.Second, failed, "True/HubAcknowledged")
	of.withheld = 4
	check("for long", awayFor, failed, "False/HubUnavailable", "connection refused", "--hub-url", "keeps what is archived until the hub has acknowledged 4")
	of.withheld = 0
	acknowledged(3)
	check("still", time.Minute, failed, "False/HubUnavailable", "it has acknowledged 3")
	check("it refuses", time.Second, refused, "False/Forked", "another block is there", "Look which is the clone")
	acknowledged(0)
	check("it refuses again", time.Minute, refused, "False/Forked")
	check("it answers", time.Second, nil, "False/HubBehind", "lag 2m")
	status.Acknowledged = 4
	check("it has all", time.Second, nil, "True/HubAcknowledged", "lag 0s")
	status.Known = false
	check("it was restored from a backup", time.Second, &sender.Refusal{Reason: "Gap"}, "False/Gap")
	acknowledged(0)
	if changed != 7 {
		t.Errorf("the condition had another reason %d times", changed)
	}
	if state := s.state(); state.LagSeconds != nil || state.AcknowledgedTime != nil {
		t.Errorf("it is not known where the hub is: %+v", state)
	}
	status.Known = true
	check("it says where it is", time.Second, nil, "True/HubAcknowledged")
	if state := s.state(); state.AcknowledgedSequence != 4 || state.AcknowledgedTime.Unix() != midnight || *state.LagSeconds != 0 {
		t.Errorf("the hub has all: %+v", state)
	}
	if want := []string{"HubUnavailable", "HubRefuses", "HubAvailable", "HubRefuses", "HubAvailable"}; !slices.Equal(events, want) {
		t.Errorf("the events are %v, want %v", events, want)
	}
}

// What answers in the hub's place decides neither how many series there are, nor how large a status is.
func TestWhatAHubSaysIsBounded(t *testing.T) {
	now := clocktesting.NewFakeClock(time.Unix(midnight, 0))
	s := &Shipper{Log: logr.Discard(), Clock: now, Journal: &shipment{}}
	for n := range 100 {
		s.stepped(sender.Status{Err: &sender.Refusal{Reason: strings.Repeat("A", n+1), Detail: strings.Repeat("ä", 1<<20)}})
	}
	if len(s.refusals) > maxRefusals+1 || s.refusals["Other"] != 100-maxRefusals {
		t.Errorf("%d reasons are counted", len(s.refusals))
	}
	if said := s.condition(); len(said.Message) > maxHubMessage+1000 || len(s.finding()) > maxHubMessage+1000 {
		t.Errorf("the message has %d bytes", len(said.Message))
	}
}
