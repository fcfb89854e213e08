package authority

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	servedNames = []string{"usage-api.usage-system.svc", "localhost", "127.0.0.1", "::1"}
	firstDay    = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
)

// verifyWith is whether a client that has the bundle takes the certificate for each name.
func verifyWith(bundle []byte, served *tls.Certificate, names []string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, name := range names {
		if _, err := served.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// rotation is three replicas that keep and serve an authority, and what clients read of it.
type rotation struct {
	now       time.Time
	stored    []byte // the Secret
	published []byte
	served    [3]*tls.Certificate
	reads     []bundleRead
	verified  map[string]bool // what need not be verified again that day
}

type bundleRead struct {
	at     time.Time
	bundle []byte
}

// look lets a replica look after the authority and its own certificate.
func (r *rotation) look(t *rapid.T, replica int) {
	set, err := Parse(r.stored)
	if err != nil {
		t.Fatal(err)
	}
	set, changed, err := set.Renewed(servedNames, r.now)
	if err != nil {
		t.Fatal(err)
	}
	if changed {
		if r.stored, err = set.PEM(); err != nil {
			t.Fatal(err)
		}
	}
	if len(set) > 2 {
		t.Fatalf("%s: there are %d authorities", r.now, len(set))
	}
	r.published = Bundle(r.published, set.Certificates(), r.now)
	if r.served[replica], err = set.Serving(r.served[replica], servedNames, r.now); err != nil {
		t.Fatal(err)
	}
}

// verify verifies what each replica serves with each bundle that was read within Announced.
func (r *rotation) verify(t *rapid.T) {
	for replica, certificate := range r.served {
		for _, read := range r.reads {
			key := fmt.Sprintf("%x %x %s", read.bundle, certificate.Leaf.SerialNumber, r.now.Truncate(day))
			if r.now.Sub(read.at) > Announced || r.verified[key] {
				continue
			}
			r.verified[key] = true
			if err := verifyWith(read.bundle, certificate, servedNames[:1], r.now); err != nil {
				t.Fatalf("%s: what replica %d serves is not verified with the bundle of %s: %v", r.now, replica, read.at, err)
			}
		}
	}
}

// Replicas come to look at any time, and none of them for up to 60 days. Clients have read the bundle within Announced.
// Each of them verifies what each replica serves, for years.
func TestWhatIsServedIsVerifiedWithAnyBundleOfTheLastThirtyDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rotation{now: firstDay, verified: map[string]bool{}}
		for i := range r.served {
			r.look(t, i)
		}
		for range rapid.IntRange(20, 100).Draw(t, "steps") {
			if rapid.IntRange(0, 19).Draw(t, "away") == 0 { // none of them runs
				r.now = r.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "days")) * day)
				for i := range r.served {
					r.served[i] = nil
					r.look(t, i)
				}
			} else {
				// Each looks far more often than once in two days, one after the other.
				r.now = r.now.Add(time.Duration(rapid.IntRange(1, 24).Draw(t, "hours")) * time.Hour)
				for _, i := range rapid.Permutation([]int{0, 1, 2}).Draw(t, "order") {
					r.look(t, i)
					r.now = r.now.Add(time.Minute)
					r.verify(t)
				}
			}
			r.reads = append(r.reads, bundleRead{r.now, r.published})
			if len(r.reads) > 12 {
				r.reads = r.reads[1:]
			}
		}
		if len(parseBundle(r.published)) > maxBundle {
			t.Fatalf("%d certificates are published", len(parseBundle(r.published)))
		}
	})
}

// In three years each authority signs after the other.
func TestAuthoritiesFollowEachOther(t *testing.T) {
	var (
		set     Set
		served  *tls.Certificate
		signers = map[string]bool{}
		leaves  = map[string]bool{}
	)
	for now := firstDay; now.Before(firstDay.AddDate(3, 0, 0)); now = now.Add(6 * time.Hour) {
		var err error
		if set, _, err = set.Renewed(servedNames, now); err != nil {
			t.Fatal(err)
		}
		if served, err = set.Serving(served, servedNames, now); err != nil {
			t.Fatal(err)
		}
		signers[string(served.Leaf.AuthorityKeyId)] = true
		leaves[string(served.Leaf.Raw)] = true
	}
	if len(signers) != 5 { // 365 days, and then every 245
		t.Errorf("%d authorities signed, want 5", len(signers))
	}
	if want := 3 * 365 / 5; len(leaves) < want || len(leaves) > want+len(signers) {
		t.Errorf("%d certificates were served, want about %d", len(leaves), want)
	}
}

// An authority that somebody takes into a trust store vouches for the usage API, and for nothing else.
func TestAnAuthoritySignsForItsNamesAlone(t *testing.T) {
	set, _, err := Set(nil).Renewed(servedNames, firstDay)
	if err != nil {
		t.Fatal(err)
	}
	bundle := Bundle(nil, set.Certificates(), firstDay)
	for _, name := range []string{"example.com", "kubernetes.default.svc", "other.usage-system.svc", "10.0.0.1", "::2"} {
		if _, err := set.Serving(nil, []string{name}, firstDay); err == nil {
			t.Errorf("it signs for %s", name)
		}
		template := &x509.Certificate{NotAfter: firstDay.Add(day), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		template.DNSNames, template.IPAddresses = split([]string{name})
		_, leaf, err := sign(template, &set[0], firstDay) // who has its key can do this
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyWith(bundle, &tls.Certificate{Leaf: leaf}, []string{name}, firstDay); err == nil {
			t.Errorf("it vouches for %s", name)
		}
	}
	served, err := set.Serving(nil, servedNames, firstDay)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyWith(bundle, served, servedNames, firstDay); err != nil {
		t.Error(err)
	}
	// It is signed anew for more names.
	again, err := set.Serving(served, servedNames[:2], firstDay)
	if err != nil || again != served {
		t.Errorf("another certificate is served for fewer names (%v)", err)
	}
	if again, err = set.Serving(served, append([]string{"other.localhost"}, servedNames...), firstDay); err != nil || again == served {
		t.Errorf("the same certificate is served for more names (%v)", err)
	}
}

// An authority that cannot sign for all names, for it was made in another namespace or by an
// earlier version, is followed by one that can; it signs for the names that it can until that
// has been announced.
func TestAnAuthorityThatDoesNotFitIsReplaced(t *testing.T) {
	former := []string{"usage-api.metering.svc"}
	for name, names := range map[string][]string{
		"another namespace": servedNames,
		"one name more":     append([]string{"usage-api.metering.svc.cluster.local"}, former...),
	} {
		set, _, err := Set(nil).Renewed(former, firstDay)
		if err != nil {
			t.Fatal(err)
		}
		set, changed, err := set.Renewed(names, firstDay.Add(day))
		if err != nil || !changed || len(set) != 2 {
			t.Fatalf("%s: %d authorities, changed %v: %v", name, len(set), changed, err)
		}
		if again, changed, err := set.Renewed(names, firstDay.Add(day)); err != nil || changed || len(again) != 2 {
			t.Errorf("%s: it is made once more: %v", name, err)
		}
		bundle := Bundle(nil, set.Certificates(), firstDay.Add(day))
		for at, want := range map[time.Time][]string{firstDay.Add(day): set[0].permitted(names), firstDay.Add(day + announcedFor): names} {
			if len(want) == 0 {
				want = names
			}
			served, err := set.Serving(nil, names, at)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := verifyWith(bundle, served, want, at); err != nil {
				t.Errorf("%s, at %s: %v", name, at, err)
			}
		}
	}
}

func TestAuthoritiesAreReadAsTheyWereWritten(t *testing.T) {
	var set Set
	now := firstDay
	for range 2 {
		var err error
		if set, _, err = set.Renewed(servedNames, now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(lifetime - renewBefore)
	}
	text, err := set.PEM()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(text)
	if err != nil || len(read) != 2 {
		t.Fatalf("%d are read: %v", len(read), err)
	}
	again, err := read.PEM()
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("another text is written (%v)", err)
	}
	blocks := bytes.SplitAfter(text, []byte("-----END PRIVATE KEY-----\n"))
	half := bytes.SplitAfter(blocks[0], []byte("-----END CERTIFICATE-----\n"))
	for about, wrong := range map[string][]byte{
		"no key":            half[0],
		"no certificate":    half[1],
		"another's key":     append(bytes.Clone(half[0]), bytes.SplitAfter(blocks[1], []byte("-----END CERTIFICATE-----\n"))[1]...),
		"two certificates":  append(bytes.Clone(half[0]), half[0]...),
		"not a certificate": append([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), half[1]...),
	} {
		if _, err := Parse(wrong); err == nil {
			t.Errorf("%s: it is read", about)
		}
	}
}

// What others have published stays until it ends, and there is room for what is wanted whatever is published.
func TestWhatIsPublished(t *testing.T) {
	make1 := func(at time.Time) *x509.Certificate {
		set, _, err := Set(nil).Renewed(servedNames, at)
		if err != nil {
			t.Fatal(err)
		}
		return set[0].Certificate
	}
	own, other := make1(firstDay), make1(firstDay.Add(day))
	bundle := Bundle(nil, []*x509.Certificate{own}, firstDay)
	bundle = Bundle(bundle, []*x509.Certificate{other}, firstDay)
	if got := parseBundle(bundle); len(got) != 2 || !got[0].Equal(own) || !got[1].Equal(other) {
		t.Errorf("%d are published", len(got))
	}
	for _, wants := range []*x509.Certificate{own, other} { // neither undoes what the other does
		if again := Bundle(bundle, []*x509.Certificate{wants}, firstDay.Add(day)); !bytes.Equal(again, bundle) {
			t.Error("it changes")
		}
	}
	if got := parseBundle(Bundle(bundle, []*x509.Certificate{other}, firstDay.Add(lifetime))); len(got) != 1 || !got[0].Equal(other) {
		t.Errorf("%d are published after the first has ended", len(got))
	}
	many := []byte("no certificate\n")
	for i := range 20 {
		many = append(many, Bundle(nil, []*x509.Certificate{make1(firstDay.Add(time.Duration(i) * time.Hour))}, firstDay)...)
	}
	got := parseBundle(Bundle(many, []*x509.Certificate{own}, firstDay))
	if len(got) != maxBundle || !got[maxBundle-1].Equal(own) {
		t.Errorf("%d are published, want %d, and what is wanted", len(got), maxBundle)
	}
	if all := parseBundle(many); !got[maxBundle-2].Equal(all[len(all)-1]) {
		t.Error("the newest of the others is not published")
	}
}
