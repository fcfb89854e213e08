// Package restoring puts the days of an archive into the journal of a cluster that has lost it.
package restoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
)

// Options are what is restored, and where to.
type Options struct {
	// Namespace is the operator's own, which has the journal.
	Namespace string
	// Lease is the one in it that the replica holds that meters.
	Lease string
	// Archive is where it is, and whose it has to be.
	Archive archive.Options
	// Budget is how many bytes the journal may take in etcd: the operator's --journal-budget. 0: any.
	Budget int64
	// DryRun writes nothing, and says what would be.
	DryRun bool
	Writer string
	Clock  clock.Clock
}

// restoring is one restoration.
type restoring struct {
	Options
	client  kubernetes.Interface
	store   *usageblocks.Store
	archive *archive.Archive
	out     io.Writer
}

// Run restores into the cluster, and writes to out how far it has come, and what to do next. An
// error is an *archive.Problem where the archive is not whole, and else says what to do.
func Run(ctx context.Context, config *rest.Config, o Options, out io.Writer) (err error) {
	r := &restoring{Options: o, out: out}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	if r.client, err = kubernetes.NewForConfigAndClient(config, httpClient); err != nil {
		return err
	}
	if r.store, err = usageblocks.New(config, httpClient, o.Namespace); err != nil {
		return err
	}
	cluster, err := r.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("which cluster this is, is said by its namespace %s: %w", metav1.NamespaceSystem, err)
	}
	if r.archive, err = archive.Open(ctx, o.Archive); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.archive.Close()) }()
	return r.run(ctx, string(cluster.UID))
}

func (r *restoring) run(ctx context.Context, cluster string) error {
	what, err := r.archive.Restoration(ctx, cluster)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "%s to %s, about %s of journal in namespace %s\n", what.First, what.Last, size(what.Bytes), r.Namespace)
	if what.Incomplete > 0 {
		fmt.Fprintf(r.out, "of %d intervals the journal had lost segments, as somebody accepted: verify says so again, and\n"+
			"these days cannot be archived anew: go on with this archive, or with one that begins after them\n", what.Incomplete)
	}
	if r.Budget > 0 && what.Bytes > r.Budget {
		return fmt.Errorf("the journal would take about %s in etcd, and --journal-budget is %s: if etcd has the room, "+
			"say so with --journal-budget, here and to the operator", size(what.Bytes), size(r.Budget))
	}
	if err := r.alone(ctx); err != nil {
		return err
	}
	if r.DryRun {
		fmt.Fprintln(r.out, "nothing was written: --dry-run")
		return nil
	}
	to := journal.New(journal.Options{
		Store: r.store, Writer: r.Writer, Cluster: cluster, Clock: r.Clock, Log: logr.FromContextOrDiscard(ctx),
		Retention: 1, // of what is there already, only what is open is looked at
	})
	days, wrote := int(what.Last-what.First)/int(24*time.Hour/time.Second)+1, false
	err = r.archive.Restore(ctx, to, what, r.Clock.Now().Unix(), func(m *archive.Manifest) {
		wrote = true
		done := int(m.Day-what.First)/int(24*time.Hour/time.Second) + 1
		fmt.Fprintf(r.out, "%s  %d of %d days, %d rows\n", m.Day, done, days, m.Segments.Rows)
	})
	if err != nil {
		return r.explained(err)
	}
	if !wrote {
		fmt.Fprintln(r.out, "nothing was written: the journal has all of it already")
		return nil
	}
	end := time.Unix(what.End, 0).UTC().Format(time.RFC3339)
	fmt.Fprintf(r.out, "restored until %s\nseal %s\n", end, what.Seal)
	if what.Elsewhere {
		fmt.Fprintf(r.out, "The archive is of another cluster. All from %s until now is Unknown, and this\n"+
			"cluster needs an archive of its own: --archive=...?prefix=ANOTHER/\n", end)
	}
	_, err = fmt.Fprintf(r.out, "Start the operator, then: usage-operator verify --seal %s\n", what.Seal)
	return err
}

// alone is an error while a replica meters: it would write to the same journal.
func (r *restoring) alone(ctx context.Context) error {
	lease, err := r.client.CoordinationV1().Leases(r.Namespace).Get(ctx, r.Lease, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("whether a replica meters is said by the Lease %s/%s: %w", r.Namespace, r.Lease, err)
	}
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	held := time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds, 0)) * time.Second
	renewed := ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{})
	until := renewed.Add(held)
	if holder == "" || r.Clock.Now().After(until) {
		return nil
	}
	return fmt.Errorf("%s meters, and writes to the journal: scale the operator's Deployment in the namespace %s to 0, and restore after %s "+
		"(it renewed the Lease at %s)", holder, r.Namespace, until.UTC().Format(time.RFC3339), renewed.UTC().Format(time.RFC3339))
}

// explained adds what to do to an error of the journal's.
func (r *restoring) explained(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: the namespace %s and the CRDs have to be there first: kubectl apply --server-side -k config/default, "+
			"and scale the Deployment to 0", err, r.Namespace)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: it takes the right to list, get and create usageblocks in the namespace %s", err, r.Namespace)
	}
	return err
}

// size is a number of bytes as people read it.
func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1023)>>10)
	}
	return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20)
}
