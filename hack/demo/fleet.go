package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// fleetPatience bounds a run of the fleet's demo once everything is built.
const fleetPatience = 15 * time.Minute

// fleet is two clusters, and a hub that has the ledgers of both in a database.
type fleet struct {
	*stage   // where the programs are
	database *postgres.Server
	location string // of the database, in libpq's words
	hub      string // its URL
	token    string // of one who may ask about everything
	clusters []*cluster
}

// cluster is one of them.
type cluster struct {
	*stage
	name, uid string
	workloads []workload
}

// workload is a Deployment of a cluster: so many pods, and after a while as many as then.
type workload struct {
	namespace, name string
	pods, later     int32
	cpu, memory     string
}

// openFleet takes the folder .demo-fleet, in which no other demo may be running.
func openFleet(ctx context.Context, out console) (*fleet, func(), error) {
	root, unlock, err := lockFolder(ctx, out, ".demo-fleet")
	if err != nil {
		return nil, nil, err
	}
	f := &fleet{stage: root}
	for _, c := range []*cluster{
		{name: "eu-1", workloads: []workload{{"shop", "web", 2, 3, "500m", "256Mi"}, {"lab", "train", 1, 1, "2", "1Gi"}}},
		{name: "us-1", workloads: []workload{{"shop", "web", 1, 4, "250m", "128Mi"}}},
	} {
		c.stage = &stage{console: out, checkout: root.checkout, dir: root.path(c.name), programs: root.programs, nodes: 2}
		f.clusters = append(f.clusters, c)
	}
	return f, unlock, nil
}

// showFleet runs the fleet's demo, and stops what it started unless that is to be kept.
func showFleet(ctx context.Context, out console, keep bool) (err error) {
	f, unlock, err := openFleet(ctx, out)
	if err != nil {
		return err
	}
	defer unlock()
	f.keep = keep
	for _, c := range f.clusters {
		c.keep = keep
	}
	if err := f.clear(); err != nil {
		return err
	}
	if err := f.build(ctx); err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, fleetPatience, fmt.Errorf("the demo has taken longer than %s", fleetPatience))
	defer cancel()
	ctx, fail := context.WithCancelCause(withOrphanage(ctx))
	defer fail(nil)
	defer func() {
		if err != nil || !keep {
			if failed := f.strike(err == nil); failed != nil {
				err = errors.Join(err, fmt.Errorf("%w; try `make demo-fleet-down`", errNotStopped), failed)
			}
		}
	}()
	if err := f.set(ctx, fail); err != nil {
		return explained(ctx, err)
	}
	if err := f.perform(ctx); err != nil {
		return explained(ctx, err)
	}
	out.say("\nThe hub has what the clusters have, to the last digit,\n%s after all was built.", time.Since(begun).Round(time.Second))
	if keep {
		return f.explain()
	}
	return nil
}

func (f *fleet) hubProgram() string { return f.path("bin/usage-hub") }

// build builds the programs, once for both clusters.
func (f *fleet) build(ctx context.Context) error {
	if err := f.stage.build(ctx); err != nil {
		return err
	}
	for _, c := range f.clusters {
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return err
		}
	}
	hub := buildcache.Program{Label: "usage-hub", Module: f.checkout, Package: "./cmd/usage-hub"}
	return errors.Join(os.MkdirAll(filepath.Dir(f.hubProgram()), 0o700), hub.Build(ctx, f.hubProgram(), f.progress()))
}

// set starts the hub, and the clusters.
func (f *fleet) set(ctx context.Context, fail context.CancelCauseFunc) error {
	f.title("A hub, with a PostgreSQL of its own")
	if err := f.openHub(ctx, fail); err != nil {
		return err
	}
	for _, c := range f.clusters {
		f.title("The cluster " + c.name)
		c.more = func(ctx context.Context) ([]string, error) { return f.enrol(ctx, c) }
		if err := c.set(ctx, fail); err != nil {
			return err
		}
	}
	return nil
}
