package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsNoMeterIsNotApplied has files that are refused before anything is asked of the cluster: there is none.
func TestWhatIsNoMeterIsNotApplied(t *testing.T) {
	for text, want := range map[string]string{
		"kind: UsageMeter\napiVersion: metering.usage-operator.dev/v1\n":        "it is no metering.usage-operator.dev/v1alpha1, Kind=UsageMeter",
		"kind: UsageRecord\napiVersion: metering.usage-operator.dev/v1alpha1\n": "it is no ",
		"kind: Secret\napiVersion: v1\n":                                        "it is no ",
		"":                                                                      "EOF",
		"kind: UsageMeter\nkind: UsageMeter\napiVersion: metering.usage-operator.dev/v1alpha1\n":                           "already set",
		"kind: UsageMeter\napiVersion: metering.usage-operator.dev/v1alpha1\nmetadata: {name: a}\n---\nkind: UsageMeter\n": "want one document",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "meter.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		applied, err := ApplyMeters(t.Context(), nil, folder)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "meter.yaml") || len(applied) > 0 {
			t.Errorf("%q: %v applied, and %v; want %q", text, applied, err, want)
		}
	}
	if _, err := ApplyMeters(t.Context(), nil, t.TempDir()); err == nil {
		t.Error("an empty folder is taken for one with meters")
	}
}
