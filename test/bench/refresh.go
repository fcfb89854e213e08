package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	refreshPairs   = 1000
	refreshPerPair = 10
	refreshDays    = 31
	// refreshResizes and refreshReplaces are how often each machine is resized, and replaced, in a day.
	refreshResizes, refreshReplaces = 1, 0.5
	refreshReports                  = 50
	// refreshCalm is how long nothing is written before a refresh is said to be over.
	refreshCalm = 2 * time.Second
)

// benchmarkRefresh has an hour sealed after a month, and the reports that there are made again: what the controller
// uses for that, with the writing of all statuses to a real API server.
func benchmarkRefresh(ctx context.Context, s *settings) (_ []Figure, err error) {
	pairs := refreshPairs
	if s.quick {
		pairs /= 10
	}
	p, err := newPlane(ctx, s, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	r := &refreshing{plane: p, answers: controllers.NewAnswers(), at: publishStart}
	r.fleet = newFleet(pairs, refreshPerPair, publishStart, func(*machine, int, usage.Amount) {})
	machines := float64(len(r.fleet.machines))
	r.resizes, r.replaces = newPace(r.fleet, machines*refreshResizes), newPace(r.fleet, machines*refreshReplaces)
	r.resizes.next, r.replaces.next = publishStart, publishStart
	r.pass()
	if err := r.define(ctx); err != nil {
		return nil, err
	}
	cpu, took, err := r.run(ctx)
	if err != nil {
		return nil, err
	}
	work := fmt.Sprintf("%s machines x 3 dimensions, %d days, %s changes; a seal refreshes %d reports", quantity(machines), refreshDays, quantity(float64(r.fleet.changes)), refreshReports)
	f := newFigure(work, "seconds of CPU", cpu, nil).atMost(2)
	f.Notes = map[string]float64{"secondsToTheLastStatus": median(took)}
	s.tell.say("%s reports: %.3f s of CPU, the last one after %.2f s", quantity(refreshReports), f.Ours, median(took))
	return []Figure{f}, nil
}

// refreshing is a fleet whose hours are sealed, and the reports of it.
type refreshing struct {
	*plane
	fleet             *fleet
	resizes, replaces *pace
	answers           *controllers.Answers
	at                int64
	written           atomic.Int64 // statuses
}

// pass lets the days pass.
func (r *refreshing) pass() {
	defer r.tell.during("days pass", func() string { return fmt.Sprintf("hour %d of %d", (r.at-publishStart)/3600, refreshDays*24) })()
	r.answers.Begin()
	for r.at < publishStart+refreshDays*24*3600 {
		r.answers.Committed(r.hour())
	}
	r.answers.Current()
}

// hour lets an hour pass, and seals it.
func (r *refreshing) hour() *journal.Batch {
	interval := usage.Interval(r.at, 3600)
	for ; r.at < interval.End; r.at++ {
		r.resizes.until(r.at+1, r.fleet.resize)
		r.replaces.until(r.at+1, r.fleet.replace)
	}
	r.fleet.ledger.Seal(interval)
	r.fleet.ledger.Forget(interval.Start)
	return r.fleet.batch(interval.End, journal.Seal{Interval: interval})
}

// define makes the reports: of the whole cluster by namespace and day, by deployment and hour, and by resource; the
// others of a tenant's deployments by day.
func (r *refreshing) define(ctx context.Context) error {
	start, end := metav1.NewTime(time.Unix(publishStart, 0)), metav1.NewTime(time.Unix(publishStart+(refreshDays+1)*24*3600, 0))
	for i := range refreshReports {
		report := &v1alpha1.ClusterUsageReport{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("report-%02d", i)}}
		report.Spec.StartingOn, report.Spec.EndingBefore, report.Spec.TimeZone = &start, &end, "Europe/Berlin"
		switch i {
		case 0:
			report.Spec.WindowSize, report.Spec.GroupBy = v1alpha1.WindowHour, []v1alpha1.GroupKey{"namespace", "deployment"}
		case 1:
			report.Spec.GroupBy = []v1alpha1.GroupKey{"namespace", "resource"}
		case 2, 3, 4:
			report.Spec.WindowSize, report.Spec.GroupBy = v1alpha1.WindowDay, []v1alpha1.GroupKey{"namespace"}
		default:
			report.Spec.WindowSize, report.Spec.GroupBy = v1alpha1.WindowDay, []v1alpha1.GroupKey{"deployment"}
			report.Spec.Filters = &v1alpha1.ClusterReportFilters{Namespaces: []v1alpha1.FilterValue{v1alpha1.FilterValue(namespaceName(i))}}
		}
		if err := r.admin.Create(ctx, report); err != nil {
			return err
		}
	}
	return nil
}

// run starts the controller, and seals an hour in each round. It returns the CPU time that each took, in seconds, and
// how long after the seal the last status was written.
func (r *refreshing) run(ctx context.Context) (cpu, took []float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	restConfig := r.config()
	restConfig.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil && strings.HasSuffix(request.URL.Path, "/status") && response.StatusCode == http.StatusOK {
				r.written.Add(1)
			}
			return response, err
		})
	})
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: r.admin.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		return nil, nil, err
	}
	clock := clocktesting.NewFakeClock(time.Unix(r.at, 0))
	reports := &controllers.UsageReportReconciler{
		Client: mgr.GetClient(), Answers: r.answers, Clock: clock, Events: mgr.GetEventRecorder("bench"), Interval: 3600,
		Health: &controllers.Health{},
	}
	if err := reports.SetupWithManager(mgr); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	if _, err := r.refreshed(ctx, ended); err != nil {
		return nil, nil, err
	}
	for range r.rounds {
		batch := r.hour()
		clock.SetTime(time.Unix(r.at, 0))
		r.written.Store(0)
		before, start := cpuTime(), time.Now()
		r.answers.Committed(batch)
		r.answers.Current()
		last, err := r.refreshed(ctx, ended)
		if err != nil {
			return nil, nil, err
		}
		cpu = append(cpu, (cpuTime() - before).Seconds())
		took = append(took, last.Sub(start).Seconds())
	}
	cancel()
	return cpu, took, <-ended
}

// refreshed waits until every report was written, and nothing more is. It returns when the last one was.
func (r *refreshing) refreshed(ctx context.Context, ended <-chan error) (last time.Time, err error) {
	defer r.tell.during("reports are made", func() string { return fmt.Sprintf("%d of %d", r.written.Load(), refreshReports) })()
	for seen := int64(0); seen < refreshReports || time.Since(last) < refreshCalm; {
		select {
		case err := <-ended:
			return last, fmt.Errorf("the controller ended: %w", err)
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if written := r.written.Load(); written != seen {
			seen, last = written, time.Now()
		}
	}
	return last, nil
}
