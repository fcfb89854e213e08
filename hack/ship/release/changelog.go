package release

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Notes are what CHANGELOG.md says of the version. What comes before a version, such as v1.2.0-rc.1, may have what is
// said of the version, or else what is not released yet.
func Notes(o Options) (string, error) {
	text, err := os.ReadFile(filepath.Join(o.Checkout, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	headings := []string{o.chartVersion()}
	if o.prerelease() {
		release, _, _ := strings.Cut(o.chartVersion(), "-")
		headings = append(headings, release, "Unreleased")
	}
	for _, heading := range headings {
		if said := section(string(text), heading); said != "" {
			return said, nil
		}
	}
	return "", fmt.Errorf("CHANGELOG.md says nothing of %s: give it a heading, ## [%s] - and the date", o.Version, o.chartVersion())
}

// section is what is under "## [heading]", up to the next heading of its kind.
func section(text, heading string) string {
	said, inside := &strings.Builder{}, false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "## ") {
			inside = strings.HasPrefix(line, "## ["+heading+"]")
			continue
		}
		if inside {
			said.WriteString(line)
		}
	}
	return strings.TrimSpace(said.String())
}
