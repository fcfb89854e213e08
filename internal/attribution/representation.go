package attribution

import (
	"cmp"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Span is when something happened: not before After and not after Before, in
// seconds since the epoch.
type Span struct {
	After, Before int64
}

// Later is the later of two moments.
func (s Span) Later(other Span) Span {
	return Span{After: max(s.After, other.After), Before: max(s.Before, other.Before)}
}

// Part is an object of one meter that can be a part of others, as it says.
type Part struct {
	UID     string
	Created int64 // seconds since the epoch
	Claims  []usage.Claim
}

// Representative is an object that may represent others, as a meter knows it.
type Representative struct {
	Kind            usage.GroupKind
	Namespace, Name string
	UID             string
	// Vouches are the keys that it vouches for, by the meter's rules, and Shares the names
	// that it goes by beside its own, by the same; "": none.
	Vouches [][]string
	Shares  []string
	// Since is from when on it vouches for those that it did not vouch for before.
	Since Span
	// Active tells whether it holds something by any meter, Began since when.
	Active bool
	Began  Span
}

// Representations knows, for one meter, which objects are metered with another
// one and not by themselves. An object says of whom it is a part; that counts
// while the other one, by its name and, where the object states it, by its UID, is
// known and active and vouches for every key that the object claims. A key stands
// for one object at a time, the oldest, so that nobody can copy it.
//
// Decisions depend on what is known, not on the order in which it came. It is not
// safe for concurrent use: a single writer owns it.
type Representations struct {
	parts   map[string]*part
	others  map[named]*representative
	shared  map[sharedName]*company
	changed map[*part]struct{}
}

// named is an object by its name.
type named struct {
	kind            usage.GroupKind
	namespace, name string
}

// part is an object that claims something.
type part struct {
	uid     string
	created int64
	said    []usage.Claim
	claims  []claiming // what it said, with those that share a name one by one
	// What is decided: by whom it is represented, nil by nobody.
	by    *representative
	byUID string
}

// claiming is one of a part's claims.
type claiming struct {
	of    *representative
	uid   string
	seats []seat
}

// seat is where those meet that claim a key of a representative, under the UID
// that they know it by.
type seat struct {
	rule     int
	key, uid string
}

// representative is an object that is claimed, or that vouches, or both.
type representative struct {
	named
	uid     string // "": it is not known
	active  bool
	began   Span
	shares  []string         // by rule
	kept    bool             // for a moment, also when all that claim it leave
	vouched map[vouched]Span // since when
	seats   map[seat][]*part // in the order of their age
}

type vouched struct {
	rule int
	key  string
}

// NewRepresentations is an index of nothing.
func NewRepresentations() *Representations {
	return &Representations{
		parts: map[string]*part{}, others: map[named]*representative{},
		shared: map[sharedName]*company{}, changed: map[*part]struct{}{},
	}
}

// Claim replaces what an object says of those that it is a part of; one that
// claims nothing is forgotten. It returns the UIDs of those that are represented
// now and were not, or were and are not, in order.
func (r *Representations) Claim(p Part) []string {
	at := r.parts[p.UID]
	if at == nil && len(p.Claims) == 0 {
		return nil
	}
	if at == nil {
		at = &part{uid: strings.Clone(p.UID)}
		r.parts[at.uid] = at
	}
	if at.says(&p) {
		return nil
	}
	r.leave(at)
	at.created, at.said = p.Created, cloned(p.Claims)
	r.enterAll(at)
	if len(at.said) == 0 {
		delete(r.parts, at.uid)
	}
	r.changed[at] = struct{}{}
	return r.decide()
}

// says tells whether the object says what is known of it already.
func (at *part) says(p *Part) bool {
	return at.created == p.Created && slices.EqualFunc(at.said, p.Claims, func(a, b usage.Claim) bool {
		return a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name && a.UID == b.UID && a.Rule == b.Rule &&
			a.Shared == b.Shared && slices.Equal(a.Keys, b.Keys)
	})
}

// Forget takes out an object that is gone. It returns what Claim returns, without
// the object itself.
func (r *Representations) Forget(uid string) []string {
	at := r.parts[uid]
	if at == nil {
		return nil
	}
	r.leave(at)
	delete(r.parts, uid)
	at.by = nil
	return r.decide()
}

// Know replaces what is known of an object that may represent others. It returns
// what Claim returns.
func (r *Representations) Know(o Representative) []string {
	name := named{o.Kind, o.Namespace, o.Name}
	at := r.others[name]
	vouches := slices.ContainsFunc(o.Vouches, func(keys []string) bool { return len(keys) > 0 })
	if at == nil {
		if !vouches {
			return nil
		}
		at = r.other(name)
	}
	before := at.vouched
	if at.uid != o.UID {
		before = nil
	}
	r.reconsider(at)
	at.uid, at.active, at.began = strings.Clone(o.UID), o.Active, o.Began
	at.vouched = nil
	if vouches {
		at.vouched = map[vouched]Span{}
	}
	for rule, keys := range o.Vouches {
		for _, key := range keys {
			v := vouched{rule, key}
			since, known := before[v]
			if !known || nameOf(at.shares, rule) != nameOf(o.Shares, rule) {
				since, v.key = o.Since, strings.Clone(key)
			}
			at.vouched[v] = since
		}
	}
	if !vouches {
		o.Shares = nil
	}
	r.goesBy(at, o.Shares)
	r.reconsider(at)
	r.release(at)
	return r.decide()
}

// Lose takes out an object that is gone, or that holds nothing any more by the
// meters that were. It returns what Claim returns.
func (r *Representations) Lose(kind usage.GroupKind, namespace, name, uid string) []string {
	at := r.others[named{kind, namespace, name}]
	if at == nil || at.uid != uid {
		return nil
	}
	r.reconsider(at)
	at.uid, at.active, at.vouched = "", false, nil
	r.goesBy(at, nil)
	r.release(at)
	return r.decide()
}

// By tells by which object, by its UID, an object is represented, and since when.
func (r *Representations) By(uid string) (by string, since Span, represented bool) {
	at := r.parts[uid]
	if at == nil || at.by == nil {
		return "", Span{}, false
	}
	for i := range at.claims {
		if c := &at.claims[i]; c.of == at.by && c.holds(at) {
			return at.byUID, c.since(), true
		}
	}
	return at.byUID, at.by.began, true
}

// Claims are what an object claims.
func (r *Representations) Claims(uid string) []usage.Claim {
	at := r.parts[uid]
	if at == nil {
		return nil
	}
	return at.said
}

// Missing are those of a kind that are known, and of which there tells no, as
// representatives to lose.
func (r *Representations) Missing(kind usage.GroupKind, there func(uid string) bool) []Representative {
	var missing []Representative
	for name, at := range r.others {
		if name.kind == kind && at.uid != "" && !there(at.uid) {
			missing = append(missing, Representative{Kind: kind, Namespace: name.namespace, Name: name.name, UID: at.uid})
		}
	}
	slices.SortFunc(missing, func(a, b Representative) int { return cmp.Compare(a.UID, b.UID) })
	return missing
}

// Review asks anew which of a kind are active, since when. It returns what Claim returns.
func (r *Representations) Review(kind usage.GroupKind, holding func(uid string) (began Span, active bool)) []string {
	for name, at := range r.others {
		if name.kind == kind && at.uid != "" {
			at.began, at.active = holding(at.uid)
			r.reconsider(at)
		}
	}
	return r.decide()
}

func (r *Representations) other(name named) *representative {
	at := r.others[name]
	if at == nil {
		name.namespace, name.name = strings.Clone(name.namespace), strings.Clone(name.name)
		at = &representative{named: name, seats: map[seat][]*part{}}
		r.others[name] = at
	}
	return at
}

// release forgets a representative that nobody claims, and that vouches for nobody.
func (r *Representations) release(at *representative) {
	if len(at.seats) == 0 && len(at.vouched) == 0 && !at.kept {
		delete(r.others, at.named)
	}
}

// enter puts an object among those that claim the same.
func (r *Representations) enter(at *part, c usage.Claim) {
	of := r.other(named{c.Kind, c.Namespace, c.Name})
	entered := claiming{of: of, uid: strings.Clone(c.UID)}
	for _, key := range c.Keys {
		s := seat{rule: c.Rule, key: strings.Clone(key), uid: entered.uid}
		entered.seats = append(entered.seats, s)
		r.touch(of.first(vouched{s.rule, s.key}))
		sitting := of.seats[s]
		if i, there := slices.BinarySearchFunc(sitting, at, older); !there {
			of.seats[s] = slices.Insert(sitting, i, at)
		}
	}
	at.claims = append(at.claims, entered)
}

// leave undoes enter for all that an object claims.
func (r *Representations) leave(at *part) {
	for _, c := range at.claims {
		for _, s := range c.seats {
			sitting := c.of.seats[s]
			i, there := slices.BinarySearchFunc(sitting, at, older)
			if !there {
				continue // of two claims of the same
			}
			if sitting = slices.Delete(sitting, i, i+1); len(sitting) == 0 {
				delete(c.of.seats, s)
			} else {
				c.of.seats[s] = sitting
			}
			r.touch(c.of.first(vouched{s.rule, s.key}))
		}
		r.release(c.of)
	}
	at.claims = nil
	r.leaveShared(at)
}

// older orders objects by their age.
func older(a, b *part) int {
	return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.uid, b.uid))
}

// first is the oldest object that claims the key of the representative as it is
// now; nil: none does.
func (o *representative) first(v vouched) *part {
	var first *part
	for _, uid := range [2]string{"", o.uid} {
		if sitting := o.seats[seat{v.rule, v.key, uid}]; len(sitting) > 0 && (first == nil || older(sitting[0], first) < 0) {
			first = sitting[0]
		}
	}
	return first
}

// reconsider touches those whose claims the representative meets.
func (r *Representations) reconsider(o *representative) {
	for v := range o.vouched {
		r.touch(o.first(v))
	}
}

func (r *Representations) touch(at *part) {
	if at != nil {
		r.changed[at] = struct{}{}
	}
}

// holds tells whether the claim counts.
func (c *claiming) holds(at *part) bool {
	if c.of.uid == "" || !c.of.active || (c.uid != "" && c.uid != c.of.uid) {
		return false
	}
	for _, s := range c.seats {
		v := vouched{s.rule, s.key}
		if _, vouches := c.of.vouched[v]; !vouches || c.of.first(v) != at {
			return false
		}
	}
	return true
}

// decide settles those that were touched.
func (r *Representations) decide() []string {
	var changed []string
	for at := range r.changed {
		by := at.represented()
		if (by == nil) != (at.by == nil) {
			changed = append(changed, at.uid)
		}
		at.by, at.byUID = by, ""
		if by != nil {
			at.byUID = by.uid
		}
	}
	clear(r.changed)
	slices.Sort(changed)
	return changed
}
