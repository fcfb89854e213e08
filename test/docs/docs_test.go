package docs

import (
	"maps"
	"slices"
	"testing"
)

// What the docs, help, messages and manifests say is so.
func TestWhatIsSaidIsSo(t *testing.T) {
	f := here(t)
	for _, name := range slices.Sorted(maps.Keys(f.pages)) {
		for _, r := range rules {
			if slices.Contains(othersCode[name], r.name) {
				continue
			}
			for _, found := range r.find(f, f.pages[name]) {
				t.Errorf("%s:%d: %s: %s", name, found.line, r.name, found.text)
			}
		}
	}
	for _, text := range f.texts {
		for _, r := range textRules {
			for _, found := range r.find(f, text) {
				t.Errorf("%s:%d: %s: %s", text.path, found.line, r.name, found.text)
			}
		}
	}
}

// What there is, the docs say.
func TestWhatThereIsIsSaid(t *testing.T) {
	f := here(t)
	for _, d := range duties {
		for _, missing := range d.missing(f) {
			t.Errorf("%s: %s", d.name, missing)
		}
	}
}

func here(t *testing.T) *facts {
	t.Helper()
	f, err := known()
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{
		"pages": len(f.pages), "texts": len(f.texts), "metrics": len(f.metrics), "reasons": len(f.reasons), "objects in config/": len(f.objects),
	} {
		if n < 40 {
			t.Errorf("%d %s: they are not read as they are written now", n, what)
		}
	}
	if len(f.kinds) < 7 {
		t.Errorf("the kinds are %v", f.kinds)
	}
	return f
}
