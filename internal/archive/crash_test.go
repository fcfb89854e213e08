package archive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// objects is a store in memory: many archives are written faster there than on a disk.
type objects map[string][]byte

func (o objects) create(_ context.Context, name string, content []byte) error {
	if _, there := o[name]; there {
		return errExists
	}
	o[name] = slices.Clone(content)
	return nil
}

func (o objects) read(_ context.Context, name string) ([]byte, error) {
	content, there := o[name]
	if !there {
		return nil, errNotFound
	}
	return content, nil
}

func (o objects) list(_ context.Context, prefix string) ([]string, error) {
	names := slices.Sorted(maps.Keys(o))
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) }), nil
}

func (o objects) close() error { return nil }

// errStopped is what a writer gets that ends at this moment.
var errStopped = errors.New("stopped")

// stopping is a store whose writer ends before, or right after, its nth request; 0: never.
type stopping struct {
	store
	requests, at int
	after        bool
}

func (s *stopping) request(do func()) error {
	s.requests++
	switch {
	case s.at == 0 || s.requests < s.at:
		do()
		return nil
	case s.requests == s.at && s.after:
		do()
	}
	return errStopped
}

func (s *stopping) create(ctx context.Context, name string, content []byte) (err error) {
	return errors.Join(s.request(func() { err = s.store.create(ctx, name, content) }), err)
}

func (s *stopping) read(ctx context.Context, name string) (content []byte, err error) {
	stopped := s.request(func() { content, err = s.store.read(ctx, name) })
	return content, errors.Join(stopped, err)
}

func (s *stopping) list(ctx context.Context, prefix string) (names []string, err error) {
	stopped := s.request(func() { names, err = s.store.list(ctx, prefix) })
	return names, errors.Join(stopped, err)
}

// everything writes all chapters of a history, as an operator does.
func everything(s store, h *history) error {
	a, err := open(context.Background(), s, "archive", Options{Cluster: clusterA, Writes: true})
	for n := -1; err == nil && n != 0; {
		n, err = a.CatchUp(context.Background(), h.source(), h.end())
	}
	return err
}

// A writer that ends before any of its requests to the store, or before the answer to
// it comes, leaves an archive that is whole as far as it goes; and the next writer
// completes it to the same chapters.
func TestAStopAtAnyRequest(t *testing.T) {
	h := someDays(t)
	calm := &stopping{store: objects{}}
	if err := everything(calm, h); err != nil {
		t.Fatal(err)
	}
	want, err := calm.store.list(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= calm.requests; at++ {
		for _, after := range []bool{false, true} {
			s := objects{}
			if err := everything(&stopping{store: s, at: at, after: after}, h); !errors.Is(err, errStopped) {
				t.Fatalf("request %d: %v", at, err)
			}
			left, err := open(t.Context(), s, "archive", Options{Cluster: clusterA})
			if err != nil {
				t.Fatalf("request %d: what is left: %v", at, err)
			}
			if _, err := left.Verify(t.Context(), func(*Manifest) {}); err != nil {
				t.Fatalf("request %d: what is left: %v", at, err)
			}
			if err := everything(s, h); err != nil {
				t.Fatalf("request %d: the next writer: %v", at, err)
			}
			names, err := s.list(t.Context(), "")
			if err != nil || len(names) != len(want) {
				t.Fatalf("request %d: %d objects (%v), want %d", at, len(names), err, len(want))
			}
			whole, err := open(t.Context(), s, "archive", Options{Cluster: clusterA})
			if err != nil {
				t.Fatal(err)
			}
			if size, err := whole.Verify(t.Context(), func(*Manifest) {}); err != nil || size.Chapters < 3 {
				t.Fatalf("request %d: %+v: %v", at, size, err)
			}
		}
	}
	t.Logf("%d requests", calm.requests)
}

// Two operators that both think they lead write the same archive: each takes up what
// the other was first to write.
func TestTwoWritersAtOnce(t *testing.T) {
	h := someDays(t)
	folder := t.TempDir()
	a, b := opened(t, folder), opened(t, folder)
	caughtUp(t, a, h)
	caughtUp(t, b, h)
	if a.link != b.link || a.last != b.last {
		t.Errorf("one ends with %s of %s, and the other with %s of %s", a.link, a.last, b.link, b.last)
	}
	if _, err := b.Verify(t.Context(), func(*Manifest) {}); err != nil {
		t.Error(err)
	}
}

// overwriting is a store that ignores the condition on which it is to create objects.
type overwriting struct{ objects map[string][]byte }

func (o *overwriting) create(_ context.Context, name string, content []byte) error {
	o.objects[name] = content
	return nil
}
func (o *overwriting) read(context.Context, string) ([]byte, error)   { return nil, errNotFound }
func (o *overwriting) list(context.Context, string) ([]string, error) { return nil, nil }
func (o *overwriting) close() error                                   { return nil }

func TestAStoreThatOverwritesIsRefused(t *testing.T) {
	_, err := open(t.Context(), &overwriting{map[string][]byte{}}, "archive", Options{Cluster: clusterA, Writes: true})
	if problem, is := errors.AsType[*Problem](err); !is || problem.Fault != Unconditional {
		t.Errorf("got %v", err)
	}
}
