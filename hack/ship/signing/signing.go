// Package signing signs what is shipped with a key of one's own, and verifies it. Keys and formats are cosign's, so that
// cosign verifies what is signed here. Releases of the project are signed without a key, by cosign itself
// (.github/workflows/release.yaml); a key is for the rehearsal of a release, and for those who build one themselves.
package signing

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	envelopes "github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
)

// Key signs.
type Key struct{ signer signature.Signer }

// Generate makes a key: ECDSA on P-256, as cosign's are.
func Generate() (*Key, error) {
	made, _, err := signature.NewDefaultECDSASignerVerifier()
	if err != nil {
		return nil, err
	}
	return &Key{signer: made}, nil
}

// Load reads a private key in PEM, such as cosign generate-key-pair writes it, with its password.
func Load(text, password []byte) (*Key, error) {
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(text, cryptoutils.StaticPasswordFunc(password))
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &Key{signer: signer}, nil
}

// Public is what verifies the key's signatures, in PEM.
func (k *Key) Public() ([]byte, error) {
	public, err := k.signer.PublicKey()
	if err != nil {
		return nil, err
	}
	return cryptoutils.MarshalPublicKeyToPEM(public)
}

// Blob is the signature of a file, in base64, as cosign verify-blob --signature reads it.
func (k *Key) Blob(content []byte) ([]byte, error) {
	signed, err := k.signer.SignMessage(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(signed)), nil
}

// Statement is an envelope of DSSE around a statement of in-toto.
func (k *Key) Statement(statement []byte) ([]byte, error) {
	return dsse.WrapSigner(k.signer, statementType).SignMessage(bytes.NewReader(statement))
}

// statementType is what in-toto calls its statements in an envelope.
const statementType = "application/vnd.in-toto+json"

// Verifier verifies what one key has signed.
type Verifier struct{ verifier signature.Verifier }

// LoadVerifier reads a public key in PEM.
func LoadVerifier(text []byte) (*Verifier, error) {
	public, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &Verifier{verifier: verifier}, nil
}

// Blob fails unless the key has signed the content.
func (v *Verifier) Blob(content, encoded []byte) error {
	signed, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(encoded)))
	if err != nil {
		return fmt.Errorf("a signature is base64: %w", err)
	}
	return v.verifier.VerifySignature(bytes.NewReader(signed), bytes.NewReader(content))
}

// Statement returns what is in the envelope, if the key has signed it.
func (v *Verifier) Statement(envelope []byte) ([]byte, error) {
	verifier := dsse.WrapVerifier(v.verifier, dsse.WithExpectedPayloadType(statementType))
	if err := verifier.VerifySignature(bytes.NewReader(envelope), nil); err != nil {
		return nil, err
	}
	read := &envelopes.Envelope{}
	if err := json.Unmarshal(envelope, read); err != nil {
		return nil, err
	}
	return read.DecodeB64Payload()
}

var errNoSignature = errors.New("there is no signature")
