package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Archive is the chapters at one place, one for each day from the first to the last.
// It is for one caller at a time.
type Archive struct {
	store   store
	name    string
	cluster string
	// first and last are the days of the first and the last chapter; last is before
	// first where there is none.
	first, last Day
	// end is the last manifest, nil where there is none, and link its digest.
	end  *Manifest
	link journal.Digest
}

// Options are where an archive is, and whose it has to be.
type Options struct {
	// URL is file:///a/directory, or s3://bucket?region=eu-central-1&prefix=a/prefix/.
	URL string
	// Cluster is the UID of the cluster's namespace kube-system; "" where any will do.
	Cluster string
	// Writes tells that chapters are to be written: whether the store keeps what is there
	// is tried then.
	Writes bool
}

// Open finds the archive, and makes sure that its last chapter is whole. What is wrong
// with it is a *Problem; any other error is the store's.
func Open(ctx context.Context, o Options) (*Archive, error) {
	s, err := openStore(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	a, err := open(ctx, s, nameOf(o.URL), o)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return a, nil
}

// nameOf is the URL as people are told it.
func nameOf(location string) string {
	parsed, err := url.Parse(location)
	if err != nil {
		return location
	}
	return parsed.Redacted()
}

func open(ctx context.Context, s store, name string, o Options) (*Archive, error) {
	a := &Archive{store: s, name: name, cluster: o.Cluster, first: 0, last: -aDay}
	if o.Writes {
		if err := probe(ctx, s); err != nil {
			return nil, a.blame(err, probeName)
		}
	}
	if err := a.find(ctx); err != nil {
		return nil, a.blame(err, manifests)
	}
	return a, nil
}

// Close lets go of the store.
func (a *Archive) Close() error { return a.store.close() }

// blame names the archive in an error, and the object where none is named.
func (a *Archive) blame(err error, object string) error {
	if problem, is := errors.AsType[*Problem](err); is {
		problem.Archive = a.name
		if problem.Object == "" {
			problem.Object = object
		}
		return err
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("the archive %s: %w", a.name, err)
}

// find lists the chapters, and reads the last one.
func (a *Archive) find(ctx context.Context) error {
	names, err := a.store.list(ctx, manifests)
	if err != nil {
		return fmt.Errorf("list %s: %w", manifests, err)
	}
	for _, name := range names { // by day, as they are named
		day, ok := dayOfManifest(name)
		switch {
		case !ok:
			continue
		case a.last < a.first:
			a.first = day
		case day != a.last.Next():
			return &Problem{Fault: Missing, Object: a.last.Next().manifest(), Detail: "there is no such object, and there is " + name}
		}
		a.last = day
	}
	if a.last < a.first {
		return nil
	}
	m, link, err := a.Manifest(ctx, a.last)
	if err != nil {
		return err
	}
	if _, err := a.read(ctx, m); err != nil {
		return err
	}
	a.end, a.link = m, link
	return nil
}

// Days are those of the first and of the last chapter; false where there is none.
func (a *Archive) Days() (first, last Day, some bool) { return a.first, a.last, a.last >= a.first }

// Manifest is a day's, and its digest.
func (a *Archive) Manifest(ctx context.Context, day Day) (*Manifest, journal.Digest, error) {
	text, err := a.store.read(ctx, day.manifest())
	if errors.Is(err, errNotFound) {
		return nil, journal.Digest{}, a.blame(&Problem{Fault: Missing, Detail: "there is no such object"}, day.manifest())
	}
	if err != nil {
		return nil, journal.Digest{}, a.blame(fmt.Errorf("read %s: %w", day.manifest(), err), "")
	}
	m, err := a.parse(day, text)
	return m, sha256.Sum256(text), a.blame(err, day.manifest())
}

// parse reads a day's manifest, and checks all that can be checked of it alone.
func (a *Archive) parse(day Day, text []byte) (*Manifest, error) {
	m, err := parseManifest(text)
	switch {
	case err != nil:
		return nil, err
	case m.Day != day:
		return nil, &Problem{Fault: Damaged, Detail: "it is of the day " + m.Day.String()}
	case a.cluster != "" && m.Cluster != a.cluster:
		return nil, &Problem{Fault: OtherCluster, Detail: fmt.Sprintf("it is of the cluster %s, and this one is %s", m.Cluster, a.cluster)}
	}
	return m, nil
}

// Read is a day's chapter, which is whole.
func (a *Archive) Read(ctx context.Context, day Day) (*Chapter, error) {
	m, _, err := a.Manifest(ctx, day)
	if err != nil {
		return nil, err
	}
	return a.read(ctx, m)
}

func (a *Archive) read(ctx context.Context, m *Manifest) (*Chapter, error) {
	file, err := a.store.read(ctx, m.Segments.Name)
	if errors.Is(err, errNotFound) {
		return nil, a.blame(&Problem{Fault: Missing, Detail: "there is no such object, and " + m.Day.manifest() + " names it"}, m.Segments.Name)
	}
	if err != nil {
		return nil, a.blame(fmt.Errorf("read %s: %w", m.Segments.Name, err), "")
	}
	c, err := m.decode(file)
	if err != nil {
		return nil, a.blame(err, m.Segments.Name)
	}
	return c, nil
}

// outline is a chapter as its manifest alone has it: without segments and corrections.
func (a *Archive) outline(_ context.Context, m *Manifest) (*Chapter, error) {
	c, err := m.outline()
	if err != nil {
		return nil, a.blame(err, m.Day.manifest())
	}
	return c, nil
}

// write adds the chapter of the next day. Where another writer has written that of the
// same day first, it is taken up, if it has the same seals.
func (a *Archive) write(ctx context.Context, c *Chapter) error {
	if a.end != nil && c.Day != a.last.Next() {
		return fmt.Errorf("the archive %s ends with %s: %s does not follow", a.name, a.last, c.Day)
	}
	if err := c.check(); err != nil {
		return a.blame(&Problem{Fault: Unproven, Object: c.Day.manifest(), Detail: err.Detail}, "")
	}
	file, m, err := c.encode(a.cluster, a.link)
	if err != nil {
		return err
	}
	other, err := place(ctx, a.store, m.Segments.Name, file)
	if err == nil && other != nil {
		err = &Problem{Fault: Damaged, Object: m.Segments.Name, Detail: "it is not what its name has the digest of"}
	}
	if err != nil {
		return a.blame(err, m.Segments.Name)
	}
	text, link, err := m.encode()
	if err != nil {
		return err
	}
	other, err = place(ctx, a.store, c.Day.manifest(), text)
	if err != nil {
		return a.blame(err, c.Day.manifest())
	}
	if other != nil {
		if m, err = a.adopt(ctx, c, other); err != nil {
			return a.blame(err, c.Day.manifest())
		}
		link = sha256.Sum256(other)
	}
	if a.end == nil {
		a.first = c.Day
	}
	a.last, a.end, a.link = c.Day, m, link
	return nil
}

// adopt is the manifest that another writer has written of the same day.
func (a *Archive) adopt(ctx context.Context, c *Chapter, text []byte) (*Manifest, error) {
	m, err := a.parse(c.Day, text)
	if err != nil {
		return nil, err
	}
	there, err := a.read(ctx, m)
	if err != nil {
		return nil, err
	}
	if m.Previous != textOrNone(a.link) || there.lastSeal() != c.lastSeal() {
		return nil, &Problem{Fault: Forked, Detail: fmt.Sprintf("it was sealed with %s, and the journal says %s", there.lastSeal(), c.lastSeal())}
	}
	return m, nil
}

// Size is how much of an archive there is.
type Size struct {
	Chapters int   `json:"chapters"`
	Rows     int   `json:"rows"`
	Bytes    int64 `json:"bytes"`
}

// Verify reads every chapter, and makes sure that each is whole, that each follows the
// one before, and that every seal is what its segments amount to. The first difference
// is a *Problem. each is called after each day.
func (a *Archive) Verify(ctx context.Context, each func(*Manifest)) (Size, error) {
	var size Size
	err := a.walk(ctx, a.first, a.last, a.first, func(m *Manifest, _ *Chapter, _ journal.Digest) error {
		size.Chapters, size.Rows, size.Bytes = size.Chapters+1, size.Rows+m.Segments.Rows, size.Bytes+m.Segments.Size
		each(m)
		return nil
	})
	return size, err
}

// walk reads the chapters from the first to the last, and makes sure that each is whole,
// and follows the one before. each has a chapter with its manifest, and the digest of that.
// Of the days before whole only the manifests are read: these chapters have no segments.
func (a *Archive) walk(ctx context.Context, first, last, whole Day, each func(*Manifest, *Chapter, journal.Digest) error) error {
	var link, seal journal.Digest
	for day := first; day <= last; day = day.Next() {
		m, digest, err := a.Manifest(ctx, day)
		if err != nil {
			return err
		}
		begins := day == first && first != a.first // what is before is not looked at
		if m.Previous != textOrNone(link) && !begins {
			return a.blame(&Problem{Fault: Damaged, Detail: fmt.Sprintf(
				"it was written after a manifest with the digest %s, and that of the day before has %s", m.Previous, link)}, day.manifest())
		}
		read := a.read
		if day < whole {
			read = a.outline
		}
		c, err := read(ctx, m)
		if err != nil {
			return err
		}
		if day > first && c.PreviousSeal != seal {
			return a.blame(&Problem{Fault: Damaged, Detail: "its first interval was sealed after another one than the last of the day before"}, day.manifest())
		}
		link, seal = digest, c.lastSeal()
		if err := each(m, c, digest); err != nil {
			return err
		}
	}
	return nil
}
