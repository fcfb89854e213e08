// Package authority has the certificate authorities that the usage API's serving certificates are signed by.
//
// An authority is replaced long before it ends. Its successor is published first, and signs only after everybody who
// reads what is published at least once in Announced has it: at each moment a client verifies what is served with any
// bundle that it read within that time. Several replicas that share a Set decide the same, for all follows from the
// certificates and the time.
package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// Announced is how long an authority is published before it signs, unless there is no other.
	Announced = 30 * day
	// announcedFor leaves a day for it to be published, and for clocks that differ.
	announcedFor = Announced + day
	// lifetime is how long an authority lasts; its successor is made when renewBefore of it is left.
	lifetime, renewBefore = 365 * day, 120 * day
	// leafLifetime is how long a serving certificate lasts; its successor is made when leafRenewBefore of it is left.
	leafLifetime, leafRenewBefore = 7 * day, 2 * day
	// backdated is how much earlier than it is made a certificate is valid, for clients whose clocks are behind.
	backdated = time.Hour
)

const (
	certificateBlock, keyBlock = "CERTIFICATE", "PRIVATE KEY"
)

// Authority signs serving certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Set are all authorities that have not ended, the oldest first.
type Set []Authority

// Parse reads what PEM has written. The error says what is wrong with it.
func Parse(text []byte) (Set, error) {
	var set Set
	for {
		certificate, rest := pem.Decode(text)
		if certificate == nil {
			return set, nil
		}
		key, rest := pem.Decode(rest)
		if certificate.Type != certificateBlock || key == nil || key.Type != keyBlock {
			return nil, fmt.Errorf("authority %d: want a certificate, and then its private key", len(set)+1)
		}
		one, err := parseOne(certificate.Bytes, key.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authority %d: %w", len(set)+1, err)
		}
		set, text = append(set, one), rest
	}
}

func parseOne(certificate, key []byte) (a Authority, err error) {
	if a.Certificate, err = x509.ParseCertificate(certificate); err != nil {
		return a, err
	}
	private, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return a, err
	}
	var is bool
	if a.key, is = private.(*ecdsa.PrivateKey); !is || !a.key.PublicKey.Equal(a.Certificate.PublicKey) {
		return a, errors.New("the private key is not the certificate's")
	}
	return a, nil
}

// PEM writes the certificates and their private keys.
func (s Set) PEM() ([]byte, error) {
	var out bytes.Buffer
	for _, a := range s {
		key, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return nil, err
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: a.Certificate.Raw}))
		out.Write(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: key}))
	}
	return out.Bytes(), nil
}

// Certificates are those of the authorities.
func (s Set) Certificates() []*x509.Certificate {
	all := make([]*x509.Certificate, len(s))
	for i, a := range s {
		all[i] = a.Certificate
	}
	return all
}

// Renewed is the set without what has ended and, when it is due, with a new authority, which can sign for these names
// only: names in the DNS, and IP addresses.
func (s Set) Renewed(names []string, now time.Time) (renewed Set, changed bool, err error) {
	for _, a := range s {
		if now.Before(a.Certificate.NotAfter) {
			renewed = append(renewed, a)
		}
	}
	if n := len(renewed); n > 0 && renewed[n-1].Certificate.NotAfter.Sub(now) > renewBefore && len(renewed[n-1].permitted(names)) == len(names) {
		return renewed, n != len(s), nil
	}
	made, err := create(names, now)
	if err != nil {
		return nil, false, err
	}
	return append(renewed, made), true, nil
}

func create(names []string, now time.Time) (Authority, error) {
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "usage-operator usage API, " + now.UTC().Format(time.RFC3339)},
		NotAfter: now.Add(lifetime),
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
	}
	dns, ips := split(names)
	template.PermittedDNSDomains = dns
	for _, ip := range ips {
		whole := net.CIDRMask(8*len(ip), 8*len(ip))
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: whole})
	}
	key, certificate, err := sign(template, nil, now)
	return Authority{certificate, key}, err
}

// split tells the IP addresses among names from the rest.
func split(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip == nil {
			dns = append(dns, name)
		} else if four := ip.To4(); four != nil {
			ips = append(ips, four)
		} else {
			ips = append(ips, ip)
		}
	}
	return dns, ips
}

// sign makes a key and the certificate for it; with no signer, it signs itself.
func sign(template *x509.Certificate, by *Authority, now time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.NotBefore = now.Add(-backdated)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return key, certificate, err
}

// permitted are those of the names that the authority can sign for.
func (a *Authority) permitted(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		if ip := net.ParseIP(name); ip != nil {
			return !slices.ContainsFunc(a.Certificate.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) })
		}
		return !slices.ContainsFunc(a.Certificate.PermittedDNSDomains, func(domain string) bool {
			return name == domain || strings.HasSuffix(name, "."+domain)
		})
	})
}

// signer is the authority that signs now for any of the names: the newest that has been announced for long enough, and
// else the oldest. It is nil where there is none.
func (s Set) signer(names []string, now time.Time) *Authority {
	s = slices.DeleteFunc(slices.Clone(s), func(a Authority) bool { return len(a.permitted(names)) == 0 })
	for i := range slices.Backward(s) {
		if made := s[i].Certificate.NotBefore.Add(backdated); now.Sub(made) >= announcedFor {
			return &s[i]
		}
	}
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

// Serving is the certificate to serve with, for those of the names that who signs now can sign for: the one that there
// is, as long as it is signed by that, for long enough, and for them all; or else a new one.
func (s Set) Serving(had *tls.Certificate, names []string, now time.Time) (*tls.Certificate, error) {
	by := s.signer(names, now)
	if by == nil {
		return nil, errors.New("there is no certificate authority for the usage API's names")
	}
	names = by.permitted(names)
	if had != nil && had.Leaf.CheckSignatureFrom(by.Certificate) == nil && had.Leaf.NotAfter.Sub(now) > leafRenewBefore &&
		!slices.ContainsFunc(names, func(name string) bool { return had.Leaf.VerifyHostname(name) != nil }) {
		return had, nil
	}
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "usage-operator usage API"},
		NotAfter: now.Add(leafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	template.DNSNames, template.IPAddresses = split(names)
	if ends := by.Certificate.NotAfter; ends.Before(template.NotAfter) {
		template.NotAfter = ends
	}
	key, leaf, err := sign(template, by, now)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
