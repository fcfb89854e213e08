package controllers

import (
	"fmt"
	"testing"
	"time"
)

func TestSchedulesMakeSoManyReportsAndNoMore(t *testing.T) {
	var p pace
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	made := func(namespace string, tries int) (count int) {
		for range tries {
			if p.take(namespace, now) == 0 {
				count++
			}
		}
		return count
	}
	if got := made("red", 98); got != reportsAtOnce {
		t.Errorf("%d at once", got)
	}
	if got := made("blue", 1); got != 1 {
		t.Error("another namespace waits")
	}
	if wait := p.take("red", now); wait != reportEvery {
		t.Errorf("the next one has to wait for %v", wait)
	}
	for range 10 {
		now = now.Add(reportEvery)
		if got := made("red", 98); got != 1 {
			t.Errorf("%d a minute", got)
		}
	}
	now = now.Add(24 * time.Hour)
	if got := made("red", 98); got != reportsAtOnce {
		t.Errorf("%d at once, a day later", got)
	}
	for n := range 10 * maxPaces {
		now = now.Add(reportEvery)
		p.take(fmt.Sprint(n), now)
	}
	if len(p.namespaces) > maxPaces {
		t.Errorf("%d namespaces are remembered", len(p.namespaces))
	}
}
