package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheArchiveCommand(t *testing.T) {
	empty := "file://" + t.TempDir()
	for _, c := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{"", exitUnreadable, "", "want list, verify, export or restore"},
		{"prune --archive " + empty, exitUnreadable, "", "want list, verify, export or restore"},
		{"list", exitUnreadable, "", "--archive: "},
		{"list --archive ftp://bucket", exitUnreadable, "", "file:///a/directory, s3://bucket"},
		{"list --archive " + empty + " -o yaml", exitUnreadable, "", "want text or json"},
		{"export --from yesterday --archive " + empty, exitUnreadable, "", "--from: "},
		{"list --archive " + empty, exitVerified, "DAY ", ""},
		{"verify --archive " + empty, exitVerified, "no day yet", ""},
		{"verify --archive " + empty + " -o json", exitVerified, `"chapters":0`, ""},
		{"export --archive " + empty, exitVerified, "base_unit_seconds", ""},
		{"--help", exitVerified, "usage-operator archive verify --archive URL", ""},
	} {
		var stdout, stderr bytes.Buffer
		status := archives(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		if status != c.status || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("archive %s: exit %d\n%s%s", c.args, status, &stdout, &stderr)
		}
	}
}
