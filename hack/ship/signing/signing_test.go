package signing_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/usage-operator/usage-operator/hack/ship/signing"
)

// TestWhatOneKeySigned signs with one key, and verifies with it, with another, and what was changed since.
func TestWhatOneKeySigned(t *testing.T) {
	key, verifier := keyPair(t)
	_, other := keyPair(t)
	digest := digestOf(t, "example.com/usage-operator", 'a')

	blob := must(key.Blob([]byte("text")))
	artifact := must(key.Image(digest))
	envelope := must(key.Statement([]byte(`{"a":1}`)))
	forged := map[string]any{}
	require(t, json.Unmarshal(envelope, &forged))
	forged["payload"] = base64.StdEncoding.EncodeToString([]byte(`{"a":2}`))
	changed := must(json.Marshal(forged))

	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"a file":                           {verifier.Blob([]byte("text"), blob), ""},
		"a file, and a line's end":         {verifier.Blob([]byte("text"), append(blob, '\n')), ""},
		"a file, by another key":           {other.Blob([]byte("text"), blob), "invalid signature"},
		"another file":                     {verifier.Blob([]byte("test"), blob), "invalid signature"},
		"a file, and no base64":            {verifier.Blob([]byte("text"), []byte("~")), "base64"},
		"an image":                         {verifier.Image(artifact, digest), ""},
		"an image, by another key":         {other.Image(artifact, digest), "invalid signature"},
		"another image":                    {verifier.Image(artifact, digestOf(t, "example.com/usage-operator", 'b')), "what is signed is"},
		"the image in another place":       {verifier.Image(artifact, digestOf(t, "example.com/other", 'a')), "what is signed is"},
		"an image without a signature":     {verifier.Image(must(signing.StatementArtifact(envelope, "x")), digest), "no signature"},
		"a statement":                      {ignore(verifier.Statement(envelope)), ""},
		"a statement, by another key":      {ignore(other.Statement(envelope)), "accepted signatures do not match threshold"},
		"a statement that was changed":     {ignore(verifier.Statement(changed)), "accepted signatures do not match threshold"},
		"a statement that is none":         {ignore(verifier.Statement([]byte("{}"))), "unexpected payload type"},
		"a public key that is a signature": {ignore(signing.LoadVerifier(blob)), "PEM"},
	} {
		if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, c.err, c.want)
		}
	}
	if said := must(verifier.Statement(envelope)); string(said) != `{"a":1}` {
		t.Errorf("the statement says %s", said)
	}
	if all := must(signing.Envelopes(must(signing.StatementArtifact(envelope, "x")))); len(all) != 1 || !bytes.Equal(all[0], envelope) {
		t.Errorf("the artifact holds %q", all)
	}
}

// TestCosignsKeys reads a key as cosign generate-key-pair writes it, with its password and with a wrong one.
func TestCosignsKeys(t *testing.T) {
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte("secret")))
	require(t, err)
	key := must(signing.Load(private, []byte("secret")))
	if got := must(key.Public()); !bytes.Equal(got, public) {
		t.Errorf("the public key is\n%s\nwant\n%s", got, public)
	}
	require(t, must(signing.LoadVerifier(public)).Blob([]byte("text"), must(key.Blob([]byte("text")))))
	if _, err := signing.Load(private, []byte("wrong")); err == nil {
		t.Error("a wrong password opens the key")
	}
}

func keyPair(t *testing.T) (*signing.Key, *signing.Verifier) {
	t.Helper()
	key := must(signing.Generate())
	return key, must(signing.LoadVerifier(must(key.Public())))
}

func digestOf(t *testing.T, repository string, digit byte) name.Digest {
	t.Helper()
	hash := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(string(digit), 64)}
	digest, err := name.NewDigest(repository + "@" + hash.String())
	require(t, err)
	return digest
}

// must is for what fails only where the test is wrong.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func ignore[T any](_ T, err error) error { return err }

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
