package controllers

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestReadingALargeJournalIsLogged(t *testing.T) {
	var lines []string
	clock, full := clocktesting.NewFakeClock(noon), errors.New("full")
	l := &loading{
		log:   funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{}),
		clock: clock,
		fits: func(read, _ int64) error {
			if read > 200 {
				return full
			}
			return nil
		},
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(lines, want) {
			t.Errorf("%s: logged %q, want %q", what, lines, want)
		}
		lines = nil
	}
	for read := int64(10); read <= 100; read += 10 {
		clock.Step(3 * time.Second)
		if err := l.Fits(read, 100); err != nil {
			t.Fatal(err)
		}
	}
	expect("27 s of reading",
		`"level"=0 "msg"="reading the journal" "rows"=50 "of"=100`, `"level"=0 "msg"="reading the journal" "rows"=90 "of"=100`)
	for read := int64(101); read <= 200; read++ { // what is new is read as it comes
		clock.Step(time.Minute)
		if err := l.Fits(read, read); err != nil {
			t.Fatal(err)
		}
	}
	expect("following")
	clock.Step(time.Hour)
	_ = l.Fits(10, 300) // all of it anew
	clock.Step(loadingSaidEvery)
	if err := l.Fits(201, 300); !errors.Is(err, full) {
		t.Errorf("%v: want the error of what does not fit", err)
	}
	expect("anew", `"level"=0 "msg"="reading the journal" "rows"=201 "of"=300`)
}
