package main

import (
	"errors"
	"strings"
	"testing"
)

func TestThePartOfAFleetIsThatOfOneCluster(t *testing.T) {
	const whole = "start,cluster,namespace,exact\n1,eu-1,shop,5\n1,us-1,shop,7\n1,eu-1,\"a,b\",6\n"
	got, err := partOf(whole, "eu-1")
	if want := "start,namespace,exact\n1,shop,5\n1,\"a,b\",6\n"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if !sameLines(got, "start,namespace,exact\n1,\"a,b\",6\n1,shop,5\n") || sameLines(got, "start,namespace,exact\n1,shop,5\n") {
		t.Error("lines are compared otherwise than as a set")
	}
	if _, err := partOf("start,namespace\n", "eu-1"); err == nil {
		t.Error("a table without clusters is taken for one of the fleet")
	}
}

// What a cluster's rows add up to is compared as whole numbers, metric by metric.
func TestSumsAreExact(t *testing.T) {
	const table = "resource_type,dimension,exact,exact_unit\ncontainer,cpu,9007199254740993,m\ncontainer,cpu,1,m\ncontainer,memory,1,B\n"
	got, want := sums{}, sums{}
	err := errors.Join(got.add("eu-1", table), want.put(metric{"eu-1", "container", "cpu", "m"}, "9007199254740994"))
	if err != nil || got.same(want) {
		t.Errorf("%v: sums that lack a metric are the same", err)
	}
	err = want.put(metric{"eu-1", "container", "memory", "B"}, "1")
	if err != nil || !got.same(want) {
		t.Errorf("got %v, want %v (%v)", got, want, err)
	}
	if err := want.put(metric{"eu-1", "container", "memory", "B"}, "1"); err != nil || got.same(want) {
		t.Errorf("another figure is the same (%v)", err)
	}
	for _, bad := range []string{"", "resource_type,dimension,exact\n", "resource_type,dimension,exact,exact_unit\na,b,1.5,c\n", "resource_type,dimension,exact,exact_unit\na,b,,c\n"} {
		if err := (sums{}).add("eu-1", bad); err == nil {
			t.Errorf("%q is added up", bad)
		}
	}
}

// What is said of a fleet that goes on running fits into 80 columns, where the checkout's own path does.
func TestTheManualOfAFleetIsNarrow(t *testing.T) {
	f := &fleet{stage: &stage{dir: "/home/me/usage-operator/.demo-fleet"}}
	for _, name := range []string{"eu-1", "us-1"} {
		f.clusters = append(f.clusters, &cluster{name: name, uid: "00000000-0000-4000-8000-000000000001"})
	}
	text := f.manual(f.path("environment"))
	if err := narrow(text); err != nil {
		t.Error(err)
	}
	for _, want := range []string{". /home/me/usage-operator/.demo-fleet/environment", "$EU_1 and $US_1", "--hub $USAGE_HUB", "make demo-fleet-down"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if narrow(strings.Repeat("x", columns)+"\n") != nil || narrow("a\n"+strings.Repeat("x", columns+1)) == nil {
		t.Error("a line of 81 columns is the first that is too wide")
	}
}
