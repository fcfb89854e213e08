package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// certificateLife is long enough for any control plane of a test or of a developer.
	certificateLife = 365 * 24 * time.Hour
	// clockSkew lets a certificate be valid at once for a process whose clock is behind.
	clockSkew = 5 * time.Minute
)

// pki is a certificate authority that signs for servers and clients alike, and the administrator's credentials.
type pki struct {
	dir   string
	ca    *x509.Certificate
	caKey crypto.Signer
	caPEM []byte
	admin keyPair
}

// keyPair is a certificate with its key, in PEM.
type keyPair struct {
	cert, key []byte
}

// newPKI makes an authority, and in dir the files that components are started with.
func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate("usage-operator test control plane", nil)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	p := &pki{dir: dir, ca: ca, caKey: key, caPEM: certificatePEM(der)}
	keyText, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	if err := p.write("ca", keyPair{p.caPEM, keyText}); err != nil {
		return nil, err
	}
	return p, p.issueFiles()
}

// issueFiles writes the certificate that all servers share, the administrator's, and the key of service accounts.
func (p *pki) issueFiles() error {
	server, err := p.issue("server", nil)
	if err != nil {
		return err
	}
	if err := p.write("server", server); err != nil {
		return err
	}
	if p.admin, err = p.issue("kubernetes-admin", []string{"system:masters"}); err != nil {
		return err
	}
	if err := p.write("admin", p.admin); err != nil {
		return err
	}
	serviceAccounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	text, err := keyPEM(serviceAccounts)
	if err != nil {
		return err
	}
	return os.WriteFile(p.file("service-accounts.key"), text, 0o600)
}

// loadPKI reads what newPKI wrote.
func loadPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	pair, err := tls.LoadX509KeyPair(p.file("ca.crt"), p.file("ca.key"))
	if err != nil {
		return nil, fmt.Errorf("read the control plane's certificate authority: %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key in %s cannot sign", p.file("ca.key"))
	}
	p.caKey = signer
	if p.ca, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, err
	}
	p.caPEM = certificatePEM(p.ca.Raw)
	if p.admin.cert, err = os.ReadFile(p.file("admin.crt")); err != nil {
		return nil, err
	}
	p.admin.key, err = os.ReadFile(p.file("admin.key"))
	return p, err
}

// issue signs a certificate for a user of the API server (or for a server: all of them are on loopback).
func (p *pki) issue(user string, groups []string) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate(user, groups), p.ca, key.Public(), p.caKey)
	if err != nil {
		return keyPair{}, fmt.Errorf("sign a certificate for %s: %w", user, err)
	}
	text, err := keyPEM(key)
	return keyPair{certificatePEM(der), text}, err
}

func certificate(user string, groups []string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serialNumber(),
		Subject:      pkix.Name{CommonName: user, Organization: groups},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

func serialNumber() *big.Int {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes) // it never fails
	bytes[0] &= 0x7f        // a serial number is positive
	return new(big.Int).SetBytes(bytes)
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	// This form, and not PKCS 8, is the one that kube-controller-manager reads for service accounts.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func (p *pki) write(name string, pair keyPair) error {
	if err := os.WriteFile(p.file(name+".crt"), pair.cert, 0o644); err != nil {
		return err
	}
	return os.WriteFile(p.file(name+".key"), pair.key, 0o600)
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }
