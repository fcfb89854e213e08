package record

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/fairshare"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Holdings are what accounts held in one interval: the accounts in order
// (usage.CompareAccounts), and the segments of each, cut to the interval, in
// canonical order. They must not be changed.
type Holdings struct {
	Accounts []usage.Account
	Cut      func(usage.Account) []usage.Segment
}

// tenant is a namespace with those of its accounts that held something.
type tenant struct {
	accounts []usage.Account
	cut      func(usage.Account) []usage.Segment
}

// tenants calls visit with each namespace. One that was made again under its name is
// another.
func (h *Holdings) tenants(visit func(*tenant)) {
	for from := 0; from < len(h.Accounts); {
		to := from + 1
		for to < len(h.Accounts) && namespaceOf(h.Accounts[to]) == namespaceOf(h.Accounts[from]) {
			to++
		}
		visit(&tenant{accounts: h.Accounts[from:to], cut: h.Cut})
		from = to
	}
}

// namespaceOf is the account of the namespace alone.
func namespaceOf(a usage.Account) usage.Account {
	a.Deployment = ""
	return a
}

// Limit are the limits that bind the records of an interval, given how many bytes all
// of them may take, and how many deployments of a namespace have records of their
// own; 0: any. The bytes are divided among namespaces by max-min fairness. It depends on
// nothing but what was held.
func Limit(h *Holdings, bytes, deployments int64) usage.Limits {
	var limits usage.Limits
	var takes []int64
	h.tenants(func(t *tenant) {
		plan := t.plan(usage.Limits{Deployments: deployments})
		if plan != nil {
			limits.Deployments = deployments
		}
		if bytes > 0 {
			takes = append(takes, t.weigh(plan, usage.DetailSegments))
		}
	})
	if bytes == 0 {
		return limits
	}
	if share := fairshare.Level(takes, bytes); share != math.MaxInt64 {
		limits.Bytes = max(1, share)
	}
	return limits
}

// Plan says which records of an interval list less than all. With a nil Plan they list
// everything.
type Plan struct {
	reduced map[usage.Account]*reduction // by the account of the namespace
}

// reduction is what a namespace's records list.
type reduction struct {
	detail usage.Detail
	others []usage.Account // that have no records of their own, in order
}

// PlanOf returns the plan for the records of an interval that was sealed with the limits.
func PlanOf(h *Holdings, limits usage.Limits) *Plan {
	if limits.IsZero() {
		return nil
	}
	p := &Plan{reduced: map[usage.Account]*reduction{}}
	h.tenants(func(t *tenant) {
		if r := t.plan(limits); r != nil {
			p.reduced[namespaceOf(t.accounts[0])] = r
		}
	})
	return p
}

// plan is what the namespace's records list less; nil: nothing.
func (t *tenant) plan(limits usage.Limits) *reduction {
	r := &reduction{others: t.others(limits.Deployments)}
	if limits.Bytes > 0 {
		for r.detail < usage.DetailTotals && t.weigh(r, r.detail) > limits.Bytes {
			r.detail++
		}
	}
	if r.detail == usage.DetailSegments && len(r.others) == 0 {
		return nil
	}
	return r
}

// others are the accounts without records of their own, in order. The accounts that held
// something for longest have their own, by the sum over all their segments; of equal
// ones, the first by name. Unattributed usage is no deployment: it has its own record.
func (t *tenant) others(most int64) []usage.Account {
	named := slices.DeleteFunc(slices.Clone(t.accounts), func(a usage.Account) bool { return a.Deployment == "" })
	if most == 0 || int64(len(named)) <= most {
		return nil
	}
	seconds := make(map[usage.Account]int64, len(named))
	for _, account := range named {
		segments := t.cut(account)
		for i := range segments {
			seconds[account] += max(0, segments[i].End.At-segments[i].Start.At)
		}
		if account.Deployment == usage.OtherDeployments { // an owner that somebody made up
			seconds[account] = -1
		}
	}
	slices.SortFunc(named, func(a, b usage.Account) int {
		return cmp.Or(cmp.Compare(seconds[b], seconds[a]), cmp.Compare(a.Deployment, b.Deployment))
	})
	others := named[most:]
	slices.SortFunc(others, usage.CompareAccounts)
	return others
}

// weigh is about how many bytes the namespace's records take; r may be nil.
func (t *tenant) weigh(r *reduction, detail usage.Detail) (bytes int64) {
	for _, account := range t.accounts {
		if r == nil || !r.has(account) {
			bytes += Weigh(t.cut(account), detail)
		}
	}
	if r != nil && len(r.others) > 0 {
		bytes += weighTogether(r.others, t.cut, detail)
	}
	return bytes
}

// weighTogether is Weigh of the accounts' segments under one account. They are too many to be
// put together for that: how many parts they make is estimated.
func weighTogether(accounts []usage.Account, cut func(usage.Account) []usage.Segment, detail usage.Detail) int64 {
	type row struct {
		of        *usage.Subject
		dimension usage.Dimension
	}
	segments, rows, seen := 0, map[row]struct{}{}, map[total]struct{}{}
	subjects := newSubjects()
	for _, account := range accounts {
		of := cut(account)
		segments += len(of)
		for i := range of {
			s := &of[i]
			rows[row{subjects.of(s.Subject), s.Dimension}] = struct{}{}
		}
	}
	for r := range rows {
		seen[total{resourceType: r.of.ResourceType, dimension: r.dimension}] = struct{}{}
	}
	size := len(seen) * totalBytes
	switch detail {
	case usage.DetailSegments:
		size += len(subjects.known)*entryBytes + segments*segmentBytes
	case usage.DetailResources:
		size += len(subjects.known)*entryBytes + len(rows)*rowBytes
	}
	return int64(size + (1+size/maxBytes)*headBytes)
}

// subjects are those of several accounts, under the one of those that have no records of
// their own.
type subjects struct {
	known  map[usage.Subject]*usage.Subject
	before *usage.Subject // that was asked for last: segments of one come together
	last   *usage.Subject
}

func newSubjects() *subjects { return &subjects{known: map[usage.Subject]*usage.Subject{}} }

// of is the subject under that account. There is one for each.
func (s *subjects) of(subject *usage.Subject) *usage.Subject {
	if subject == s.before {
		return s.last
	}
	moved := *subject
	moved.Account = subject.Others()
	known := s.known[moved]
	if known == nil {
		kept := moved
		known = &kept
		s.known[moved] = known
	}
	s.before, s.last = subject, known
	return known
}

// has tells whether the account is among the others.
func (r *reduction) has(account usage.Account) bool {
	_, found := slices.BinarySearchFunc(r.others, account, usage.CompareAccounts)
	return found
}

// together are the segments of the accounts under the one of those that have no records
// of their own, in canonical order.
func together(accounts []usage.Account, cut func(usage.Account) []usage.Segment) []usage.Segment {
	subjects, bySubject, n := newSubjects(), map[*usage.Subject][]usage.Segment{}, 0
	for _, account := range accounts {
		for _, s := range cut(account) {
			s.Subject = subjects.of(s.Subject)
			bySubject[s.Subject] = append(bySubject[s.Subject], s)
			n++
		}
	}
	// Subjects are few: to compare each segment's would take long.
	held := slices.Collect(maps.Values(bySubject))
	for _, of := range held {
		slices.SortFunc(of, usage.Segment.Compare)
	}
	slices.SortFunc(held, func(a, b []usage.Segment) int {
		return cmp.Or(a[0].Compare(b[0]), compareKinds(a[0].Subject, b[0].Subject))
	})
	all := make([]usage.Segment, 0, n)
	for _, of := range held {
		all = append(all, of...)
	}
	return all
}

// compareKinds orders subjects by what the canonical order does not look at.
func compareKinds(a, b *usage.Subject) int {
	return cmp.Or(
		cmp.Compare(a.Resource.APIVersion, b.Resource.APIVersion), cmp.Compare(a.Instance.APIVersion, b.Instance.APIVersion),
		cmp.Compare(a.Instance.Kind, b.Instance.Kind), cmp.Compare(a.Of, b.Of),
	)
}

// Accounts are those that have records, of those that held something, in order.
func (p *Plan) Accounts(held []usage.Account) []usage.Account {
	if p == nil {
		return held
	}
	accounts := slices.DeleteFunc(slices.Clone(held), func(a usage.Account) bool {
		r := p.reduced[namespaceOf(a)]
		return r != nil && r.has(a)
	})
	for namespace, r := range p.reduced {
		if len(r.others) > 0 {
			accounts = append(accounts, namespace.Others())
		}
	}
	slices.SortFunc(accounts, usage.CompareAccounts)
	return slices.Compact(accounts)
}

// Fill sets the input of an account's records: its segments, or those of all accounts
// without records of their own, and the detail that is listed. An account without
// records is left without segments.
func (p *Plan) Fill(in *Input, cut func(usage.Account) []usage.Segment) {
	var r *reduction
	if p != nil {
		r = p.reduced[namespaceOf(in.Account)]
	}
	if r == nil {
		in.Segments = cut(in.Account)
		return
	}
	in.Detail = r.detail
	switch {
	case len(r.others) > 0 && in.Account.Deployment == usage.OtherDeployments:
		in.Segments, in.Deployments = together(r.others, cut), len(r.others)
	case !r.has(in.Account):
		in.Segments = cut(in.Account)
	}
}

// Reduced are the namespaces whose records list less than all, in order, and how.
func (p *Plan) Reduced() []Reduced {
	if p == nil {
		return nil
	}
	list := make([]Reduced, 0, len(p.reduced))
	for namespace, r := range p.reduced {
		list = append(list, Reduced{Namespace: namespace.Namespace, Detail: r.detail, Others: len(r.others)})
	}
	slices.SortFunc(list, func(a, b Reduced) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.Others, b.Others))
	})
	return list
}

// Reduced is a namespace whose records list less than all.
type Reduced struct {
	Namespace string
	Detail    usage.Detail
	// Others is how many of its deployments have no records of their own.
	Others int
}
