package timeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// NoSuchName is the error for a name in a filter under which nothing was ever recorded,
// and which no meter measures: a query for it would have no rows, as if nothing had been
// used.
type NoSuchName struct {
	// Key is the key that the name is a value of.
	Key Key
	// Name is what was asked for.
	Name string
	// Known are the names that exist in the filters' namespaces, in order.
	Known []string
}

// listedNames is how many names an error lists.
const listedNames = 12

// nameWords are what people call what a key names.
var nameWords = map[Key]string{
	ResourceType: "resource type", Dimension: "dimension", Deployment: "deployment", Region: "region",
	Resource: "resource", Container: "container", Namespace: "namespace", "metric": "metric", attributeName: "attribute",
}

// attributeName is the key of the names of attributes.
const attributeName Key = "attribute"

// Error lists the names that exist: the closest one, if one is similar, and the first of
// all.
func (e *NoSuchName) Error() string {
	what := nameWords[e.Key]
	if attribute, is := e.Key.Attribute(); is {
		what = attribute
	}
	text := fmt.Sprintf("there is no %s %q", what, e.Name)
	if e.Key != ResourceType && e.Key != Dimension && e.Key != "metric" {
		article := "a"
		if strings.ContainsAny(what[:min(len(what), 1)], "aeiou") {
			article = "an"
		}
		text = fmt.Sprintf("nothing was ever recorded under %s %s %q", article, what, e.Name)
	}
	if like := Nearest(e.Name, e.Known); like != "" {
		text += fmt.Sprintf(": did you mean %q?", like)
	}
	shown := e.Known[:min(len(e.Known), listedNames)]
	if len(shown) == 0 {
		return text + "; there is none"
	}
	if !strings.HasSuffix(text, "?") {
		text += ";"
	}
	text += " there are " + strings.Join(shown, ", ")
	if more := len(e.Known) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Nearest is the closest of some names to a misspelt one; "" if none is similar.
func Nearest(name string, names []string) string {
	best, least := "", len(name)/3+1 // a slip in three letters
	for _, other := range names {
		if strings.EqualFold(name, other) {
			return other
		}
		if d := distance(strings.ToLower(name), strings.ToLower(other)); d <= least && d < len(name) {
			best, least = other, d-1
		}
	}
	return best
}

// longestName is how long names are at most that are compared.
const longestName = 63

// distance is how many letters have to be changed, added, left out, or to change places
// with the next, to make one text of another.
func distance(a, b string) int {
	if len(a) > longestName || len(b) > longestName {
		return max(len(a), len(b))
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// Check returns a *NoSuchName if the filters have a name that does not exist in the
// namespaces that they let through. It does not check names of resources and containers:
// see CheckHolders. It looks at all accounts, and fails with the context's error soon after that
// is done.
func (s *Snapshot) Check(ctx context.Context, f *Filters) error {
	asked := f.asked()
	if len(asked) == 0 {
		return nil
	}
	missing := map[Key]map[string]bool{}
	for _, a := range asked {
		missing[a.key] = map[string]bool{}
		for _, name := range a.names {
			missing[a.key][name] = name != "" // what has none is always there
		}
	}
	left := func() bool {
		for _, names := range missing {
			for _, is := range names {
				if is {
					return true
				}
			}
		}
		return false
	}
	err := s.names(ctx, f, func(key Key, name string) {
		if missing[key] != nil && missing[key][name] {
			missing[key][name] = false
		}
	})
	if err != nil || !left() {
		return err
	}
	for _, a := range asked {
		for _, name := range a.names {
			if !missing[a.key][name] {
				continue
			}
			known, err := s.known(ctx, f, a.key)
			if err != nil {
				return err
			}
			return &NoSuchName{Key: a.key, Name: name, Known: known}
		}
	}
	return nil
}

// CheckKeys returns a *NoSuchName if rows are to be told apart by an attribute that nothing has
// of what the filters let through, though there is something: one that is misspelt would tell
// nothing apart. It looks at all accounts, as Check does.
func (s *Snapshot) CheckKeys(ctx context.Context, f *Filters, keys []Key) error {
	attributes := slices.ContainsFunc(keys, func(key Key) bool { _, is := key.Attribute(); return is })
	if !attributes {
		return nil
	}
	known, something := map[string]bool{}, false
	err := s.eachClass(ctx, func(c *class) {
		if w := &c.words; f.measures(w) && f.within(w) {
			something = true
			for name := range w.Attributes.Map() {
				known[name] = true
			}
		}
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if name, is := key.Attribute(); is && something && !known[name] {
			return &NoSuchName{Key: attributeName, Name: name, Known: slices.Sorted(maps.Keys(known))}
		}
	}
	return nil
}

// eachClass calls with each class, and pauses now and then. Its error is that there is no point in
// going on.
func (s *Snapshot) eachClass(ctx context.Context, call func(*class)) (err error) {
	s.classes.all(func(i int, at **class) {
		if i%lookedAtOnce == lookedAtOnce-1 && err == nil {
			err = pause(ctx)
		}
		if err == nil {
			call(*at)
		}
	})
	return err
}

type askedNames struct {
	key   Key
	names []string
}

// asked are the names that the filters have, in the order in which they are checked.
func (f *Filters) asked() (asked []askedNames) {
	for _, a := range []askedNames{{ResourceType, f.ResourceTypes}, {Dimension, f.Dimensions}, {Deployment, f.Deployments}, {Region, f.Regions}} {
		if len(a.names) > 0 {
			asked = append(asked, a)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Attributes)) {
		asked = append(asked, askedNames{Attribute(name), f.Attributes[name]})
	}
	return asked
}

// known are all names of a kind, in order.
func (s *Snapshot) known(ctx context.Context, f *Filters, key Key) ([]string, error) {
	found := map[string]bool{}
	err := s.names(ctx, f, func(of Key, name string) {
		if of == key && name != "" {
			found[name] = true
		}
	})
	return slices.Sorted(maps.Keys(found)), err
}

// names calls with the names of what there is, of what the filters' namespaces have and meters
// measure; with dimensions only of the resource types that they let through.
func (s *Snapshot) names(ctx context.Context, f *Filters, call func(Key, string)) error {
	dimension := func(resourceType string, d usage.Dimension) {
		if has(f.ResourceTypes, resourceType) {
			plain, _ := d.Plain()
			call(Dimension, plain.Name)
			call(Dimension, d.Name)
		}
	}
	for i := range s.meters {
		m := &s.meters[i]
		call(ResourceType, m.ResourceType)
		for _, d := range m.Dimensions {
			dimension(m.ResourceType, d)
		}
		for j := range m.Measured {
			dimension(m.ResourceType, m.Measured[j].Dimension)
		}
	}
	return s.eachClass(ctx, func(c *class) {
		w := &c.words
		if !f.within(w) {
			return
		}
		call(ResourceType, w.ResourceType)
		dimension(w.ResourceType, w.Dimension)
		call(Deployment, w.Deployment)
		call(Region, w.Region)
		if len(f.Attributes) > 0 {
			for name, value := range w.Attributes.Map() {
				call(Attribute(name), value)
			}
		}
	})
}

// CheckHolders does what Check does for names of resources and containers. It reads
// everything that the other filters let through. It fails with the context's error soon
// after that is done.
func (s *Snapshot) CheckHolders(ctx context.Context, f *Filters) error {
	if !f.byHolder() {
		return nil
	}
	all := *f
	all.Resources, all.Containers = nil, nil
	resources, containers := map[string]bool{}, map[string]bool{}
	err := s.occurrences(ctx, s.listed(&all, never), &all, every, always, func(o occurrence) {
		if name := o.subject.Resource.Name; !resources[name] {
			resources[strings.Clone(name)] = true // it is a part of a text that would be kept as a whole
		}
		if name := o.subject.Container; !containers[name] {
			containers[strings.Clone(name)] = true
		}
	})
	if err != nil {
		return err
	}
	for _, a := range []struct {
		askedNames
		known map[string]bool
	}{{askedNames{Resource, f.Resources}, resources}, {askedNames{Container, f.Containers}, containers}} {
		for _, name := range a.names {
			if name != "" && !a.known[name] {
				delete(a.known, "")
				return &NoSuchName{Key: a.key, Name: name, Known: slices.Sorted(maps.Keys(a.known))}
			}
		}
	}
	return nil
}
