package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Format is the format of the chapters that this version writes, and the newest one
// that it reads.
const Format = 1

// Manifest says what a chapter is. It is an object of its own, as JSON, and makes the
// chapter one.
type Manifest struct {
	// Format is the chapter's: 1.
	Format int `json:"format"`
	// Cluster is the UID of the cluster's namespace kube-system.
	Cluster string `json:"cluster"`
	// Day is the UTC day: 2026-11-20.
	Day Day `json:"day"`
	// Previous is the digest of the manifest of the day before; empty: there is none.
	Previous string `json:"previous,omitempty"`
	// PreviousSeal is the digest of the seal before the first of the day; empty: there is none.
	PreviousSeal string `json:"previousSeal,omitempty"`
	// Sequence is the journal's last commit when the chapter was made.
	Sequence uint64 `json:"sequence"`
	// Corrections are how many the journal had by then: those of this chapter, and of all before.
	Corrections int `json:"corrections"`
	// Sealed, Coverage and Meters are what blocks have under these names: the seals of
	// the day, what of it nobody saw, and the meters as they were when the chapter was made.
	Sealed   []v1alpha1.BlockSeal    `json:"sealed"`
	Coverage []v1alpha1.BlockStretch `json:"coverage,omitempty"`
	Meters   []v1alpha1.BlockMeter   `json:"meters,omitempty"`
	// Incomplete are intervals of which the journal lost segments, which a person accepted.
	Incomplete []Incomplete `json:"incomplete,omitempty"`
	// Segments is the Parquet file.
	Segments File `json:"segments"`
}

// Incomplete is an interval whose segments are not all that it was sealed with.
type Incomplete struct {
	StartTime metav1.Time `json:"startTime"`
	// Digest is that of the segments that are left.
	Digest string `json:"digest"`
}

// File is an object that a manifest names.
type File struct {
	Name string `json:"name"`
	Rows int    `json:"rows"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Digest is the SHA-256 of its content: sha256: and 64 hex digits.
	Digest string `json:"digest"`
}

const (
	manifests = "manifests/"
	chapters  = "chapters/"
	aDay      = 86400
)

// Day is a UTC day, by its first second since the epoch.
type Day int64

// DayOf is the day that the moment is in, in seconds since the epoch.
func DayOf(moment int64) Day { return Day(usage.Interval(moment, aDay).Start) }

// ParseDay reads what String wrote.
func ParseDay(text string) (Day, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a day: want one such as 2026-11-20", text)
	}
	return Day(t.Unix()), nil
}

// String is the day as 2026-11-20.
func (d Day) String() string { return time.Unix(int64(d), 0).UTC().Format(time.DateOnly) }

// Window is from the day's first second to the next day's.
func (d Day) Window() usage.Window { return usage.Window{Start: int64(d), End: int64(d) + aDay} }

// Next is the day after.
func (d Day) Next() Day { return d + aDay }

// MarshalText is the day as 2026-11-20.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads it.
func (d *Day) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDay(string(text))
	return err
}

func (d Day) manifest() string { return manifests + d.String() + ".json" }

// dayOfManifest is whose manifest it is by its name; false for any other name.
func dayOfManifest(name string) (Day, bool) {
	day, err := ParseDay(strings.TrimSuffix(path.Base(name), ".json"))
	return day, err == nil && day.manifest() == name
}

// segmentsName is the name of a day's file. Its digest is in it, so that nothing else
// has that name: not what another writer made of the same day at another time.
func segmentsName(day Day, digest journal.Digest) string {
	return fmt.Sprintf("%sday=%s/segments-%x.parquet", chapters, day, digest[:8])
}

// encode is the manifest as it is stored, and the digest that the next one names.
func (m *Manifest) encode() ([]byte, journal.Digest, error) {
	text, err := json.MarshalIndent(m, "", " ")
	text = append(text, '\n')
	return text, sha256.Sum256(text), err
}

// parseManifest reads what encode wrote.
func parseManifest(text []byte) (*Manifest, error) {
	var form struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, &Problem{Fault: Damaged, Detail: "it cannot be read: " + err.Error()}
	}
	if form.Format > Format {
		return nil, &Problem{Fault: NewerFormat, Detail: fmt.Sprintf("its format is %d, and this version knows those up to %d", form.Format, Format)}
	}
	m := &Manifest{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, &Problem{Fault: Damaged, Detail: "it cannot be read: " + err.Error()}
	}
	if m.Format < 1 || m.Segments.Name == "" || len(m.Sealed) == 0 {
		return nil, &Problem{Fault: Damaged, Detail: "it does not say what a manifest says"}
	}
	return m, nil
}

// lists are what the manifest says beside segments.
func (m *Manifest) lists() (journal.Lists, error) {
	return journal.ReadLists(m.Meters, m.Coverage, m.Sealed)
}

// digestOrNone reads a digest; none is the zero value.
func digestOrNone(text string) (journal.Digest, error) {
	if text == "" {
		return journal.Digest{}, nil
	}
	return journal.ParseDigest(text)
}

func textOrNone(d journal.Digest) string {
	if d == (journal.Digest{}) {
		return ""
	}
	return d.String()
}
