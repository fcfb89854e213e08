package authority

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"
)

// maxBundle is how many certificates a bundle may have.
const maxBundle = 8

// Bundle is what is to be published where a bundle is published already, which may be empty: all that a replica wants to
// be in it, and what others wanted, until it ends. At most eight certificates are kept, wanted ones before others, and
// then new ones before old ones. Replicas that want different certificates do not undo what the other has done.
func Bundle(published []byte, wanted []*x509.Certificate, now time.Time) []byte {
	is := func(one *x509.Certificate) func(*x509.Certificate) bool { return one.Equal }
	var all []*x509.Certificate
	for _, certificate := range append(parseBundle(published), wanted...) {
		if now.Before(certificate.NotAfter) && !slices.ContainsFunc(all, is(certificate)) {
			all = append(all, certificate)
		}
	}
	for i := 0; len(all) > maxBundle && i < len(all); {
		if slices.ContainsFunc(wanted, is(all[i])) {
			i++
			continue
		}
		all = slices.Delete(all, i, i+1)
	}
	var out bytes.Buffer
	for _, certificate := range all {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: certificate.Raw}))
	}
	return out.Bytes()
}

// parseBundle are the certificates in it. What is none is left out.
func parseBundle(text []byte) (all []*x509.Certificate) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return all
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == certificateBlock {
			all = append(all, certificate)
		}
		text = rest
	}
}
