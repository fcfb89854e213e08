// Package buildcache keeps what tests build from Go modules (a control plane, other projects' CRDs) outside the
// checkout, so that it is built once per machine, however many checkouts and test binaries want it at the same time.
package buildcache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// EnvDir is the environment variable that moves the cache away from the user's cache folder.
const EnvDir = "USAGE_OPERATOR_CACHE"

const modulePath = "github.com/usage-operator/usage-operator"

// Dir returns the cache's folder, which may not exist yet.
func Dir() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for what tests build; set %s to one: %w", EnvDir, err)
	}
	return filepath.Join(dir, "usage-operator"), nil
}

// Checkout returns the root of the operator's checkout that the working folder is in.
//
// It is searched for from the working folder, and not taken from the source paths in the binary, because -trimpath
// leaves none there. `go test` runs every test in its package's folder, so tests find theirs.
func Checkout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && hasLine(string(text), "module "+modulePath) {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod of %s in %s or above it; run this inside a checkout", modulePath, start)
		}
	}
}

func hasLine(text, want string) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

// Key names what is built from these inputs: the same inputs, in the same order, give the same key.
func Key(inputs ...string) string {
	sum := sha256.New()
	for _, input := range inputs {
		// The length keeps ("ab", "c") and ("a", "bc") apart.
		fmt.Fprintf(sum, "%d:%s", len(input), input)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// Exists tells whether there is a file or folder at path.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
