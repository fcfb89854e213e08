package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// An object's name has at most 253 characters; 32 are kept for the interval and the part.
const maxStem = 253 - 32

var (
	hashed   = regexp.MustCompile(`-[0-9a-f]{16}$`)
	notASlug = regexp.MustCompile(`[^a-z0-9-]+`)
)

// unattributed is the stem of what is under no deployment.
const unattributed = "unattributed"

// stem is the account's part of its records' names: the deployment's own name
// where that can be one, else a slug and a hash. A name that looks hashed, or
// unattributed, is hashed too, so that no two accounts share a stem.
func stem(deployment string) string {
	switch {
	case deployment == "":
		return unattributed
	case deployment != unattributed && len(deployment) <= maxStem && !hashed.MatchString(deployment) &&
		len(validation.IsDNS1123Subdomain(deployment)) == 0:
		return deployment
	}
	return slug(deployment, maxStem, deployment)
}

// movedStem names an account whose namespace is gone, in the operator's
// namespace: the tenant's name and UID are in it.
func movedStem(account usage.Account) string {
	return slug(account.Namespace+"."+account.Deployment, maxStem,
		account.Namespace, account.NamespaceUID, account.Deployment)
}

// slug is text as far as a name can hold it, and a hash of what it stands for.
func slug(text string, length int, identity ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(identity, "\x00")))
	hash := "-" + hex.EncodeToString(sum[:8])
	text = strings.Trim(notASlug.ReplaceAllString(strings.ToLower(text), "-"), "-")
	text = strings.Trim(text[:min(len(text), length-len(hash))], "-")
	if text == "" {
		text = "deployment"
	}
	return text + hash
}

// name is a record's name: web.2026112120, web.202611212005 where intervals are
// shorter than an hour, web.2026112120.p1 for a further part.
func name(stem string, interval usage.Window, part int) string {
	layout := "2006010215"
	if interval.Seconds() < int64(time.Hour/time.Second) {
		layout = "200601021504"
	}
	name := stem + "." + utc(interval.Start).Format(layout)
	if part > 0 {
		name += fmt.Sprintf(".p%d", part)
	}
	return name
}

// Name is the name of one part of the input's records.
func Name(in Input, part int) string {
	if in.Namespace != in.Account.Namespace {
		return name(movedStem(in.Account), in.Interval, part)
	}
	return name(stem(in.Account.Deployment), in.Interval, part)
}

// ParseIntervalLabel is the start of the interval that a label says, in seconds
// since the epoch.
func ParseIntervalLabel(value string) (int64, error) {
	t, err := time.Parse(intervalLayout, value)
	return t.Unix(), err
}

const intervalLayout = "20060102T1504Z"

// IntervalLabel is the value of the label that says when a record's interval starts.
func IntervalLabel(interval usage.Window) string {
	return utc(interval.Start).Format(intervalLayout)
}

// deploymentLabel is the deployment as a label's value; a name that cannot be
// one gets the form that it has in a record's name.
func deploymentLabel(deployment string) string {
	if deployment == "" || len(validation.IsValidLabelValue(deployment)) == 0 {
		return deployment
	}
	return slug(deployment, validation.LabelValueMaxLength, deployment)
}

func utc(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
