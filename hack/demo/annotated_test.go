package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNotesStandAboveTheFirstLineThatTheyAreAbout(t *testing.T) {
	got := annotate("status:\n  usage:\n  - resource:\n      name: db\n    segments: []\n  - resource:\n      name: web\n")

	want := "status:\n" +
		"  # where the sums come from: who held what level, from when to when\n" +
		"  usage:\n" +
		"    # what is billed\n" +
		"  - resource:\n" +
		"      name: db\n" +
		"    # one for each level that was held: a resize ends one and starts the next, in the same second\n" +
		"    segments: []\n" +
		"  - resource:\n" +
		"      name: web"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the annotated text differs (-want +got):\n%s", diff)
	}
}
