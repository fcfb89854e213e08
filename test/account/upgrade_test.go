package account

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var upgradeFrom = flag.String("upgrade.from", "", "the earlier versions that TestUpgrade upgrades from: commits, with commas; all: those of docs/versioning.md")

// earlier is a version to upgrade from.
type earlier struct {
	commit, reason string
	// rolling: two replicas, which are replaced one by one. Else one, by kill -9.
	rolling bool
	// format is the newest format of blocks that it reads.
	format int32
	// otherFacts: its meters have other attributes than this version's, so that attributes
	// are not compared.
	otherFacts bool
}

// earlierVersions are those in which an upgrade could break something: docs/versioning.md has them.
var earlierVersions = []earlier{
	{commit: "aac3aba", reason: "the journal does not say what a meter measured when; requests as they are written", format: 1, otherFacts: true},
	{commit: "07fdcf9", reason: "no archive, and seals without limits of records", rolling: true, format: 1},
	{commit: "c9f6369", reason: "blocks have format 1 alone", format: 1},
	{commit: "2fba248", reason: "no UsageLedger, nothing is packed, nothing is restored", rolling: true, format: 2},
	{commit: "ef46b43", reason: "UsageLedger without bounds; meters before load balancers of Ingresses", format: 2},
}

// chosen are the versions that the flag asks for.
func chosen() []earlier {
	if *upgradeFrom == "all" {
		return earlierVersions
	}
	var all []earlier
	for commit := range strings.SplitSeq(*upgradeFrom, ",") {
		known := slices.IndexFunc(earlierVersions, func(v earlier) bool { return v.commit == commit })
		if known >= 0 {
			all = append(all, earlierVersions[known])
		} else {
			all = append(all, earlier{commit: commit, reason: "asked for", format: 2})
		}
	}
	return all
}

// outcome is what came of one upgrade and of the downgrade after it.
type outcome struct {
	earlier
	before, after    int // intervals that were sealed
	kept             int // Final records that are the same bytes
	streams          int
	compared, unseen int // seconds of streams; of them those that the journal says were not seen as they happened
	differences      int
	// how it was upgraded, and what the earlier version did with this one's journal, and with a newer format.
	how, downgrade, newer string
}

// TestUpgrade installs an earlier version, makes history, upgrades as docs/install.md says, and goes back. What happened
// is accounted for as in TestAccount.
func TestUpgrade(t *testing.T) {
	if *upgradeFrom == "" {
		t.Skip("an upgrade takes six minutes, for intervals have to be sealed before and after: make test-upgrade runs it")
	}
	if _, err := git(t.Context(), "rev-parse", "--verify", "HEAD"); err != nil {
		fmt.Fprintln(os.Stderr, "TestUpgrade is SKIPPED: earlier versions are in Git's history, and this is no clone of it")
		t.Skip(err)
	}
	ctrl.SetLogger(logr.Discard())
	program := filepath.Join(t.TempDir(), "usage-operator")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, checkout).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var mu sync.Mutex
	var all []outcome
	t.Cleanup(func() {
		fmt.Println("| from | how | sealed before | after | records unchanged | streams | stream-seconds | unseen | differences | back | back at a newer format |")
		fmt.Println("|" + strings.Repeat("---|", 11))
		for _, o := range all {
			fmt.Printf("| `%s` | %s | %d | %d | %d | %d | %d | %d | %d | %s | %s |\n",
				o.commit, o.how, o.before, o.after, o.kept, o.streams, o.compared, o.unseen, o.differences, o.downgrade, o.newer)
		}
	})
	for _, v := range chosen() {
		t.Run(v.commit, func(t *testing.T) {
			t.Parallel()
			t.Log(v.reason)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			u := &upgrade{stage: &stage{T: t, program: program}, outcome: outcome{earlier: v}}
			if *folder != "" {
				u.folder = filepath.Join(*folder, v.commit)
			}
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, u.outcome)
			}()
			u.perform(ctx)
		})
	}
}

// upgrade is one of them.
type upgrade struct {
	*stage
	outcome
	driver *driver
	from   int64
	old    string // the earlier version's program
	told   int    // chapters
	last   string // the last one's name
}

func (u *upgrade) perform(ctx context.Context) {
	u.start(ctx)
	source := u.checkoutEarlier(ctx)
	u.install(ctx, source, filepath.Join(u.folder, "earlier"))
	u.driver = &driver{Client: u.cluster, log: u.journal.log}
	u.replica(u.old, "old-a")
	if u.rolling {
		u.replica(u.old, "old-b")
	}
	u.Cleanup(func() {
		for _, r := range u.replicas {
			r.kill()
		}
	})
	u.meters(ctx)
	u.from = time.Now().Unix() + 1

	u.play(ctx, "before")
	u.sealed(ctx, u.intervals(2))
	u.before = len(u.seals(ctx))
	kept := u.finals(ctx)
	u.replace(ctx)
	edge := time.Now().Unix() / interval * interval
	u.play(ctx, "after")
	until := u.intervals(2)
	u.sealed(ctx, until)
	u.account(ctx, until)
	u.unchanged(ctx, kept)
	u.report(ctx, max(edge-interval, (u.from/interval+1)*interval), edge+interval)
	u.verify(ctx)

	u.downgraded(ctx)
	u.stopsAtNewer(ctx)
	for _, r := range u.replicas {
		if r.crashes > 0 {
			u.Errorf("%s ended by itself: see %s", r.name, r.log.Name())
		}
		for _, line := range r.complaints() {
			u.Error(line)
		}
	}
}

// play tells the next chapter.
func (u *upgrade) play(ctx context.Context, name string) {
	u.await(ctx, readyPatience, "pods can be made in "+tenants[2], func() bool {
		return u.cluster.Get(ctx, client.ObjectKey{Namespace: tenants[2], Name: "default"}, &corev1.ServiceAccount{}) == nil
	})
	u.journal.log("CHAPTER %s", name)
	u.driver.play(ctx, chapter(u.told, name, u.last))
	u.told, u.last = u.told+1, name
	if refused := u.driver.refused.Load(); refused > 0 {
		u.Errorf("%d steps were refused: see %s", refused, filepath.Join(u.folder, "script.log"))
	}
}

// intervals is the end of the interval so many from now, of which the present one is the first.
func (u *upgrade) intervals(n int64) int64 { return (time.Now().Unix()/interval + n) * interval }

// replace brings in this version, while things happen: first what is installed, then the processes.
func (u *upgrade) replace(ctx context.Context) {
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { u.play(ctx, "during") })
	u.apply(ctx, checkout, u.folder)
	old := slices.Clone(u.replicas)
	if !u.rolling {
		u.how = "`kill -9`"
		old[0].kill()
		pause(ctx, 2*time.Second) // what happens now is seen by no operator
		u.standBy(ctx, "new-a")
		meanwhile.Wait()
		return
	}
	u.how = "rolling, two replicas"
	for i, r := range []*replica{old[1], old[0]} {
		u.standBy(ctx, "new-"+string(rune('a'+i)))
		r.end()
	}
	meanwhile.Wait()
}

// standBy starts a replica of this version, and waits until it says that it is ready.
func (u *upgrade) standBy(ctx context.Context, name string) {
	u.journal.log("UPGRADE %s", name)
	r := u.replica(u.program, name)
	u.await(ctx, readyPatience, name+" is ready", func() bool { return r.ready(ctx) })
}

// account compares each second until then, of what the script made.
func (u *upgrade) account(ctx context.Context, until int64) {
	t, l, v := u.judge(ctx, u.from, until, u.narrow)
	u.streams, u.compared, u.unseen = len(t.facts), v.compared, v.covered
	u.differences += len(v.differences) + len(l.wrong)
	u.tell(t, l, v)
	u.after = len(u.seals(ctx)) - u.before
}

// narrow leaves what the script made: kinds that each version meters in the same way.
func (u *upgrade) narrow(t *truth, l *ledger) {
	other := func(s stream) bool {
		name, known := t.names[s.uid]
		return known && !strings.HasPrefix(name, "Pod ") && !strings.HasPrefix(name, "PersistentVolumeClaim ") && !strings.HasPrefix(name, "Service ")
	}
	for s, facts := range t.facts {
		if other(s) {
			delete(t.facts, s)
		}
		for i := range facts {
			if u.otherFacts {
				facts[i].facts = ""
			}
		}
	}
	for s, parts := range l.parts {
		if other(s) {
			delete(l.parts, s)
		}
		for i := range parts {
			if u.otherFacts {
				parts[i].facts = ""
			}
		}
	}
}

// downgraded has the earlier version go on with this version's journal: it reads it, and then all is as exact as
// before, or it says that it does not, and has written nothing.
func (u *upgrade) downgraded(ctx context.Context) {
	for _, r := range u.replicas {
		r.end()
	}
	before := u.blocks(ctx)
	r := u.replica(u.old, "back")
	u.play(ctx, "back")
	until := u.intervals(1)
	u.await(ctx, sealPatience, "the earlier version goes on, or says why not", func() bool {
		return r.says("NewerFormat") || u.sealedUntil(ctx) >= until
	})
	if r.says("NewerFormat") {
		u.downgrade = "`NewerFormat`, nothing written"
		u.same(before, u.blocks(ctx))
		r.end()
		return
	}
	u.downgrade = "reads it, exact"
	after := u.after
	u.account(ctx, until)
	u.after = after
	u.verify(ctx)
	r.end()
}

// stopsAtNewer has the earlier version find a block of a format that it does not know.
func (u *upgrade) stopsAtNewer(ctx context.Context) {
	u.plant(ctx, u.format+1)
	before := u.blocks(ctx)
	r := u.replica(u.old, "stops")
	u.await(ctx, readyPatience, "the earlier version says NewerFormat", func() bool { return r.says("NewerFormat") })
	u.play(ctx, "unseen") // which it would write down
	u.same(before, u.blocks(ctx))
	u.newer = fmt.Sprintf("`NewerFormat` at format %d, nothing written", u.format+1)
	r.end()
}
