package attribution

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

var machines = usage.GroupKind{Group: "kubevirt.io", Kind: "VirtualMachineInstance"}

// machine is a running virtual machine that vouches for the keys.
func machine(uid string, keys ...string) Representative {
	return Representative{Kind: machines, Namespace: "shop", Name: "db", UID: uid, Vouches: [][]string{keys}, Active: true}
}

// podOf is a pod that says it is the machine's; uid "": it knows no UID.
func podOf(pod, uid string, keys ...string) Part {
	return Part{UID: pod, Claims: []usage.Claim{{Kind: machines, Namespace: "shop", Name: "db", UID: uid, Keys: keys}}}
}

func TestWhatRepresents(t *testing.T) {
	inactive := machine("vmi-1", "pod-1")
	inactive.Active = false
	elsewhere := machine("vmi-1", "pod-1")
	elsewhere.Namespace = "blog"
	younger := podOf("pod-1", "vmi-1", "pod-1")
	younger.Created = 10
	for name, c := range map[string]struct {
		others []Representative
		parts  []Part
		want   []string
	}{
		"known, active, and it vouches": {[]Representative{machine("vmi-1", "pod-1")}, []Part{podOf("pod-1", "vmi-1", "pod-1")}, []string{"pod-1"}},
		"it does not exist":             {nil, []Part{podOf("pod-1", "vmi-1", "pod-1")}, nil},
		"it holds nothing":              {[]Representative{inactive}, []Part{podOf("pod-1", "vmi-1", "pod-1")}, nil},
		"it has another UID":            {[]Representative{machine("vmi-2", "pod-1")}, []Part{podOf("pod-1", "vmi-1", "pod-1")}, nil},
		"it is in another namespace":    {[]Representative{elsewhere}, []Part{podOf("pod-1", "vmi-1", "pod-1")}, nil},
		"it vouches for another":        {[]Representative{machine("vmi-1", "pod-2")}, []Part{podOf("pod-1", "vmi-1", "pod-1")}, nil},
		"it vouches for one key of two": {[]Representative{machine("vmi-1", "a")}, []Part{podOf("pod-1", "vmi-1", "a", "b")}, nil},
		"by its name alone":             {[]Representative{machine("vmi-1", "a", "b")}, []Part{podOf("pod-1", "", "a", "b")}, []string{"pod-1"}},
		"a key stands for one, the oldest": {
			[]Representative{machine("vmi-1", "a")},
			[]Part{podOf("pod-3", "", "a"), podOf("pod-2", "vmi-1", "a"), younger}, []string{"pod-2"},
		},
		"an older one that knows another UID is in nobody's way": {
			[]Representative{machine("vmi-1", "a")},
			[]Part{podOf("pod-0", "vmi-0", "a"), podOf("pod-1", "vmi-1", "a")}, []string{"pod-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRepresentations()
			for _, p := range c.parts {
				r.Claim(p)
			}
			for _, o := range c.others {
				r.Know(o)
			}
			var got []string
			for _, p := range c.parts {
				if _, _, represented := r.By(p.UID); represented {
					got = append(got, p.UID)
				}
			}
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// From when on an object is represented is when the last of the facts came true.
func TestSinceWhenItRepresents(t *testing.T) {
	r := NewRepresentations()
	r.Claim(podOf("pod-1", "vmi-1", "pod-1"))
	o := machine("vmi-1", "pod-1")
	o.Began, o.Since = Span{100, 100}, Span{60, 61}
	since := func() Span {
		_, since, _ := r.By("pod-1")
		return since
	}
	r.Know(o)
	if got := since(); got != (Span{100, 100}) {
		t.Errorf("vouched for before it began: since %v", got)
	}
	o.Since, o.Vouches = Span{150, 160}, [][]string{{"pod-1", "pod-2"}}
	r.Know(o)
	if got := since(); got != (Span{100, 100}) {
		t.Errorf("it vouches for one more: since %v", got)
	}
	r.Claim(podOf("pod-2", "vmi-1", "pod-2"))
	if _, got, _ := r.By("pod-2"); got != (Span{150, 160}) {
		t.Errorf("vouched for later: since %v", got)
	}
}

// world is what the oracle knows: everything, and it decides by looking through it.
type representing struct {
	parts  map[string]Part
	others map[string]Representative // by name
}

// names tells whether an object names the other one: by its name, or one that others may go by too.
func names(c usage.Claim, o Representative) bool {
	if c.Shared {
		return o.Shares[c.Rule] == c.Name
	}
	return c.Name == o.Name
}

func (w representing) represented() []string {
	claims := func(p Part, o Representative, rule int, key string) bool {
		return slices.ContainsFunc(p.Claims, func(c usage.Claim) bool {
			return names(c, o) && c.Rule == rule && (c.UID == "" || c.UID == o.UID) && slices.Contains(c.Keys, key)
		})
	}
	oldest := func(o Representative, rule int, key string) string {
		found := maps.Clone(w.parts)
		maps.DeleteFunc(found, func(_ string, p Part) bool { return !claims(p, o, rule, key) })
		return slices.MinFunc(slices.Collect(maps.Values(found)), func(a, b Part) int {
			return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.UID, b.UID))
		}).UID
	}
	var all []string
	for _, uid := range slices.Sorted(maps.Keys(w.parts)) {
		p := w.parts[uid]
		if slices.ContainsFunc(p.Claims, func(c usage.Claim) bool {
			for _, o := range w.others {
				if names(c, o) && o.Active && (c.UID == "" || c.UID == o.UID) && !slices.ContainsFunc(c.Keys, func(key string) bool {
					return !slices.Contains(o.Vouches[c.Rule], key) || oldest(o, c.Rule, key) != uid
				}) {
					return true
				}
			}
			return false
		}) {
			all = append(all, uid)
		}
	}
	return all
}

// step is something that happens to both. It returns what the index says has changed,
// and who is forgotten.
func (w *representing) step(t *rapid.T, r *Representations) (changed []string, gone string) {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3, rapid.ID[string])
	name := rapid.SampledFrom([]string{"db", "web"})
	uid := rapid.SampledFrom([]string{"vmi-1", "vmi-2"})
	class := rapid.SampledFrom([]string{"large", "db"})
	switch rapid.SampledFrom([]string{"claim", "claim", "forget", "know", "know", "lose"}).Draw(t, "step") {
	case "claim":
		p := Part{UID: fmt.Sprintf("pod-%d", rapid.IntRange(0, 5).Draw(t, "pod")), Created: rapid.Int64Range(0, 2).Draw(t, "created")}
		for range rapid.IntRange(0, 2).Draw(t, "claims") {
			claimed := usage.Claim{Kind: machines, Namespace: "shop", Name: name.Draw(t, "name"), Rule: rapid.IntRange(0, 1).Draw(t, "rule"), Keys: keys.Draw(t, "keys")}
			switch rapid.SampledFrom([]string{"name", "UID", "class"}).Draw(t, "by") {
			case "UID":
				claimed.UID = uid.Draw(t, "uid")
			case "class":
				claimed.Namespace, claimed.Name, claimed.Shared = "", class.Draw(t, "class"), true
			}
			p.Claims = append(p.Claims, claimed)
		}
		w.parts[p.UID] = p
		changed = r.Claim(p)
	case "forget":
		gone = fmt.Sprintf("pod-%d", rapid.IntRange(0, 5).Draw(t, "pod"))
		delete(w.parts, gone)
		changed = r.Forget(gone)
	case "know":
		o := Representative{Kind: machines, Namespace: "shop", Name: name.Draw(t, "name"), UID: uid.Draw(t, "uid"), Active: rapid.Bool().Draw(t, "active")}
		o.Vouches, o.Shares = [][]string{nil, nil}, []string{"", ""}
		for rule := range o.Vouches {
			if rapid.Bool().Draw(t, "vouches") {
				o.Vouches[rule] = keys.Draw(t, "vouched")
			}
			if rapid.Bool().Draw(t, "goes by a class") {
				o.Shares[rule] = class.Draw(t, "class")
			}
		}
		w.others[o.Name] = o
		changed = r.Know(o)
	case "lose":
		lost := w.others[name.Draw(t, "name")]
		delete(w.others, lost.Name)
		changed = r.Lose(lost.Kind, lost.Namespace, lost.Name, lost.UID)
	}
	return changed, gone
}

func TestRepresentationsAgreeWithALookThroughEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRepresentations()
		w := representing{parts: map[string]Part{}, others: map[string]Representative{}}
		before := []string{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			changed, gone := w.step(t, r)
			want := w.represented()
			got := []string{}
			for _, uid := range slices.Sorted(maps.Keys(w.parts)) {
				if _, _, represented := r.By(uid); represented {
					got = append(got, uid)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("represented %v, want %v", got, want)
			}
			var differ []string
			for i := range 6 {
				uid := fmt.Sprintf("pod-%d", i)
				if uid != gone && slices.Contains(before, uid) != slices.Contains(got, uid) {
					differ = append(differ, uid)
				}
			}
			if !slices.Equal(changed, differ) {
				t.Fatalf("changed %v, want %v", changed, differ)
			}
			before = got
		}
		for _, uid := range slices.Sorted(maps.Keys(w.parts)) {
			r.Forget(uid)
		}
		for _, o := range w.others {
			r.Lose(o.Kind, o.Namespace, o.Name, o.UID)
		}
		if len(r.parts)+len(r.others)+len(r.shared) > 0 {
			t.Fatalf("remembers %d parts, %d others and %d classes of nothing", len(r.parts), len(r.others), len(r.shared))
		}
	})
}
