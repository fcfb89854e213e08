package verification

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// What --archive names is read for what the journal has left out; a place that no archive can be at is refused.
func TestTheArchiveIsAFlag(t *testing.T) {
	for location, wrong := range map[string]bool{"": false, "file:///var/lib/usage": false, "ftp://usage": true} {
		v, flags := &Verification{}, pflag.NewFlagSet("verify", pflag.ContinueOnError)
		v.AddFlags(flags)
		if err := flags.Parse([]string{"--archive=" + location}); err != nil {
			t.Fatal(err)
		}
		in, err := v.input()
		if wrong != (err != nil) || err != nil && !strings.Contains(err.Error(), "--archive") {
			t.Errorf("%q: %v", location, err)
		}
		if (in.Past != nil) != (location != "" && !wrong) {
			t.Errorf("%q is read: %v", location, in.Past)
		}
	}
}
