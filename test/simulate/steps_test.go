package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// step is one thing that happens: a change in the world, or a fault. Which object
// it happens to, and how, is drawn from its own number, so that a step does the
// same whether others before it are left out or not, as far as it can.
type step struct {
	at   time.Duration // since the beginning
	what string
	seed uint64
}

func (s step) String() string { return fmt.Sprintf("%9.3fs %s (%x)", s.at.Seconds(), s.what, s.seed) }

// choice is what a step can be, and how often it is drawn.
type choice[T any] struct {
	weight int
	do     func(T, *rand.Rand)
}

// changes are what happens in the world.
var changes = map[string]choice[*world]{
	"create a deployment":                  {8, (*world).createDeployment},
	"create a deployment with a claim":     {3, (*world).createDeploymentWithClaim},
	"create a job":                         {3, (*world).createJob},
	"create a pod of its own":              {2, (*world).createPod},
	"create a widget":                      {4, (*world).createWidget},
	"create a widget without a deployment": {2, (*world).createWidgetOfNobody},
	"create a pod without a deployment":    {2, (*world).createPodOfNobody},
	"create a claim":                       {3, (*world).createClaim},
	"scale up":                             {3, (*world).scaleUp},
	"resize a pod":                         {6, (*world).resizePod},
	"resize a widget":                      {5, (*world).resizeWidget},
	"expand a claim":                       {2, (*world).expandClaim},
	"relabel a deployment":                 {6, (*world).relabelDeployment},
	"take a deployment's label away":       {2, (*world).unlabelDeployment},
	"take a widget's label away":           {2, (*world).unlabelWidget},
	"relabel a widget":                     {3, (*world).relabelWidget},
	"finish a pod":                         {3, (*world).finishPod},
	"stop a widget":                        {3, (*world).stopWidget},
	"touch an object":                      {3, (*world).touch},
	"delete a pod":                         {4, (*world).deletePod},
	"delete a widget":                      {3, (*world).deleteWidget},
	"delete a deployment":                  {4, (*world).deleteDeployment},
	"delete a claim":                       {1, (*world).deleteClaim},
	"delete and create a widget":           {2, (*world).recreateWidget},
	"delete and create a namespace":        {2, (*world).recreateNamespace},
}

// faults are what goes wrong.
var faults = map[string]choice[*simulation]{
	"kill the operator":             {6, (*simulation).kill},
	"kill it, and compact":          {2, (*simulation).killAndCompact},
	"kill it, and forget a kind":    {3, (*simulation).killAndForgetKind},
	"kill it while it catches up":   {3, (*simulation).killAgain},
	"restart the API server":        {3, (*simulation).restartServer},
	"let a watch lag":               {4, (*simulation).lag},
	"let a watch lag for long":      {2, (*simulation).lagLong},
	"take the API server away":      {2, (*simulation).away},
	"answer 429":                    {2, (*simulation).throttle},
	"answer slowly":                 {2, (*simulation).slow},
	"cut a watch":                   {3, (*simulation).cut},
	"lose an answer of the journal": {2, (*simulation).loseAnswer},
}

// rare are faults of which a script has few.
var rare = map[string]choice[*simulation]{
	"let a second operator lead":         {2, (*simulation).lead},
	"kill it, and change the interval":   {2, (*simulation).killAndReschedule},
	"kill it, and state ends afterwards": {3, (*simulation).killAndStateLate},
	"suspend a meter":                    {3, (*simulation).suspendMeter},
	"edit a meter":                       {2, (*simulation).editMeter},
	editsWidgets:                         {0, (*simulation).editWidgets},
}

const (
	// beginning is how long a world is there before the operator is.
	beginning = 10 * time.Second
	interval  = time.Minute
)

// draw is the script of a seed.
func draw(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 1))
	length := between(r, 150_000, 420_000)
	moment := func() time.Duration {
		switch r.IntN(5) {
		case 0: // around an interval's boundary
			return interval*time.Duration(1+r.Int64N(int64(length/interval))) + between(r, -2_000, 3_000)
		default:
			return between(r, beginning.Milliseconds(), length.Milliseconds())
		}
	}
	var steps []step
	add := func(at time.Duration, what string) {
		steps = append(steps, step{at: at, what: what, seed: r.Uint64()})
	}
	for range 3 + r.IntN(5) {
		add(between(r, 0, beginning.Milliseconds()-3_000), pick(r, changes, "delete a", "finish a", "stop a"))
	}
	for range 4 + r.IntN(40) {
		at := moment()
		add(at, pick(r, changes))
		for r.IntN(4) == 0 { // more in the same second
			at += between(r, 1, 400)
			add(at, pick(r, changes))
		}
	}
	if r.IntN(8) > 0 && len(steps) > 0 {
		for range 1 + r.IntN(4) {
			at := beginning + moment()
			add(at, pick(r, faults))
			for r.IntN(2) == 0 { // and the world goes on meanwhile
				add(at+between(r, -3_000, 30_000), pick(r, changes))
			}
		}
	}
	// Of a source of its own: what is drawn above is the same without.
	if r := rand.New(rand.NewPCG(seed, 5)); r.IntN(3) == 0 {
		for range 1 + r.IntN(2) {
			at := between(r, beginning.Milliseconds()+2_000, length.Milliseconds())
			if r.IntN(2) == 0 { // soon after an interval is sealed
				at = interval*time.Duration(1+r.Int64N(int64(length/interval))) + between(r, 1_000, 6_000)
			}
			steps = append(steps, step{at: at, what: pick(r, rare), seed: r.Uint64()})
		}
	}
	if r := rand.New(rand.NewPCG(seed, 6)); r.IntN(3) == 0 {
		for range 1 + r.IntN(3) { // soon before or after something else
			at := steps[r.IntN(len(steps))].at + between(r, -1_500, 1_500)
			add(max(at, beginning+2*time.Second), editsWidgets)
		}
	}
	for i := range steps {
		if !strings.HasPrefix(steps[i].what, "create") {
			steps[i].at = max(steps[i].at, beginning+time.Second)
		}
		steps[i].at = max(steps[i].at, 0)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	return steps
}

// editsWidgets is the step that edits the widgets' meter. It is drawn by itself.
const editsWidgets = "edit the widgets' meter"

// fault is the fault of the name; do is nil where there is none.
func fault(name string) choice[*simulation] {
	if c, is := faults[name]; is {
		return c
	}
	return rare[name]
}

// pick draws by weight, and none of those that begin like those left out.
func pick[T any](r *rand.Rand, from map[string]choice[T], left ...string) string {
	var names []string
	for name, c := range from {
		if slices.ContainsFunc(left, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		for range c.weight {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names[r.IntN(len(names))]
}

var (
	errCut  = apierrors.NewInternalError(fmt.Errorf("etcdserver: leader changed"))
	errGone = apierrors.NewResourceExpired("the watch cache has moved on")
)
