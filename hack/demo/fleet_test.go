package main

import "testing"

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
