package attribution

import "slices"

// Placements of one stratum depend on those of the strata before it alone, so
// each object is placed once in a pass.
const (
	ofOwners   = iota // pods, workloads and all else
	ofPods            // claims and services
	ofServices        // gateways
	strata
)

func (v *vertex) stratum() int {
	switch v.id.role {
	case claim, deviceClaim, service:
		return ofPods
	case gateway:
		return ofServices
	}
	return ofOwners
}

// touch enqueues v to be placed anew in this pass, and tells whether it was not yet.
func (g *Graph) touch(v *vertex) bool {
	if v.queued {
		return false
	}
	v.queued = true
	stratum := v.stratum()
	g.queues[stratum] = append(g.queues[stratum], v)
	return true
}

// settle ends a pass: it places what was touched, and what that touches in turn.
// It returns the UIDs of those whose placement differs, in ascending order.
func (g *Graph) settle() []string {
	for stratum := range g.queues {
		for at := 0; at < len(g.queues[stratum]); at++ {
			g.put(g.queues[stratum][at])
		}
	}
	for stratum, queue := range g.queues {
		for _, v := range queue {
			v.queued = false
		}
		clear(queue) // lest it keep what is removed later
		g.queues[stratum] = queue[:0]
	}
	if len(g.changed) == 0 {
		return nil
	}
	slices.Sort(g.changed)
	changed := slices.Clone(g.changed)
	clear(g.changed)
	g.changed = g.changed[:0]
	return changed
}

// put places v by what is known now.
func (g *Graph) put(v *vertex) {
	last := v.last()
	deployment, workload := placement(v)
	if g.undo != nil && v.last() != last {
		g.undo.last = append(g.undo.last, followed{v.id.uid, last})
	}
	from := v.deployment
	if from == deployment && v.workload != nil && *v.workload == *workload {
		v.workload = workload // equal, but the old one may be a removed object's
		return
	}
	v.deployment, v.workload = deployment, workload
	g.changed = append(g.changed, v.id.uid)
	if from == deployment {
		return
	}
	if v.cohort != nil {
		g.recountCohort(v.cohort, from, deployment)
	}
	switch part := v.part.(type) {
	case mounts:
		for _, s := range part {
			g.recount(&s.census, from, deployment)
		}
	case *follower:
		if part.backend != nil {
			g.recountService(part.backend, from, deployment)
		}
	}
}
